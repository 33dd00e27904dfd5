//! `cargo xtask`, before there is a tool.

fn main() -> std::process::ExitCode {
    causeway_entry::main()
}
