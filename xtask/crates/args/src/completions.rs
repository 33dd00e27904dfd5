//! The arguments of `completions`.

/// Arguments of `completions`.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct Args {
    /// Whose completions
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that can complete.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// For ~/.bashrc
    Bash,
    /// For ~/.zshrc
    Zsh,
    /// For ~/.config/fish/config.fish
    Fish,
}
