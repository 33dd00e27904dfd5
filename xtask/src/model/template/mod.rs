//! CloudFormation templates: read with positions, short forms made long, transforms applied, intrinsic functions evaluated,
//! circles found, and single scalars replaced in the source text.

mod edit;
mod eval;
mod expansion;
mod graph;
mod node;
mod parse;
mod submit;

pub(crate) use edit::{Edit, apply};
pub(crate) use eval::{EvalError, Pseudo, Resolve, Scope, single, text_of};
pub(crate) use expansion::{Expand, ExpandError, Unexpanded, expanded, has_transform, transforms};
pub(crate) use graph::{circles, circular};
pub(crate) use node::{Node, NodeValue};
pub(crate) use parse::{TemplateError, parse};
pub(crate) use submit::{MAX_BODY, MAX_OBJECT, MAX_URL, submitted};
