//! Every name that follows from the project, defined once.

/// The names that follow from the project. The templates build the same ones from their parameters.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The project's name.
    pub project: &'a str,
}

impl Names<'_> {
    /// The app stack of an environment.
    pub fn app_stack(&self, env: &str) -> String {
        format!("{}-app-{env}", self.project)
    }

    /// What the names of all isolated stacks begin with.
    pub fn isolated_prefix(&self) -> String {
        format!("{}-isolated-", self.project)
    }

    /// A developer's own copy of the app stack.
    pub fn isolated_stack(&self, name: &str) -> String {
        format!("{}{name}", self.isolated_prefix())
    }

    /// The stack that holds the pipeline.
    pub fn pipeline_stack(&self) -> String {
        format!("{}-pipeline", self.project)
    }

    /// The profile that a person uses for an account, unless they say otherwise.
    pub fn profile(&self, account: &str) -> String {
        format!("{}-{account}", self.project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        let names = Names { project: "causeway" };
        assert_eq!(names.app_stack("dev"), "causeway-app-dev");
        assert_eq!(names.isolated_stack("ann"), "causeway-isolated-ann");
        assert_eq!(names.pipeline_stack(), "causeway-pipeline");
        assert_eq!(names.profile("build"), "causeway-build");
    }
}
