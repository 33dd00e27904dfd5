//! CloudFormation templates: read with positions, short forms made long, intrinsic functions evaluated,
//! and single scalars replaced in the source text.

mod edit;
mod eval;
mod node;
mod parse;

pub(crate) use edit::{Edit, apply};
pub(crate) use eval::{Pseudo, Resolve, Scope, text_of};
pub(crate) use node::{Node, NodeValue};
pub(crate) use parse::{TemplateError, parse};
