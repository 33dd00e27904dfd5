//! The first page of help: what there is to do, in groups and in the order in which somebody needs it.

use std::fmt::Write as _;

use clap::builder::StyledStr;

/// The commands in groups: what a group is for, and its commands.
const GROUPS: [(&str, &[&str]); 4] = [
    ("On this machine, without an account", &["rehearse", "check", "prove", "local"]),
    ("In your accounts", &["doctor", "bootstrap", "test-deployment", "deploy", "destroy"]),
    ("What the pipeline runs", &["test", "package", "integration-test"]),
    ("Also", &["bench", "completions"]),
];

/// The template of the first page.
pub(crate) fn template(command: &clap::Command) -> StyledStr {
    let mut text = StyledStr::new();
    let _ = write!(text, "{{about}}\n\n{{usage-heading}} {{usage}}\n");
    for (heading, names) in GROUPS {
        let _ = write!(text, "\n{heading}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = write!(text, "\n  {name:<16}  {about}");
        }
    }
    let _ = write!(text, "\n\nOptions of every command:\n{{options}}{{after-help}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_stands_in_one_group() {
        let command = crate::command();
        let mut all: Vec<&str> = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        all.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, all);
    }

    #[test]
    fn the_first_page_fits_a_small_terminal() {
        let text = crate::command().render_help().to_string();
        let rows: Vec<&str> = text.lines().collect();
        // clap wraps the rest by itself.
        let grouped = rows.iter().skip_while(|row| !row.starts_with("On this machine"));
        let grouped = grouped.take_while(|row| !row.starts_with("Options of"));
        let wide: Vec<&&str> = grouped.filter(|row| row.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        let before = rows.iter().position(|row| row.starts_with("Options of every command")).unwrap();
        assert!(before < 24, "{text}");
    }
}
