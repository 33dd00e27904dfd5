//! CloudFormation templates: read with positions, short forms made long, transforms applied, intrinsic functions evaluated,
//! circles found, and single scalars replaced in the source text.

mod edit;
mod eval;
mod expansion;
mod graph;
mod node;
mod parse;
mod submit;

pub use edit::{Edit, apply};
pub use eval::{EvalError, Pseudo, Resolve, Scope, single, text_of};
pub use expansion::{Expand, ExpandError, Unexpanded, expanded, has_transform, transforms};
pub use graph::{circles, circular, unresolved};
pub use node::{Node, NodeValue};
pub use parse::{TemplateError, parse};
pub use submit::{MAX_BODY, MAX_OBJECT, MAX_URL, submitted};
