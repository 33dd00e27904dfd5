//! The tests of the whole program, one module a subject: one binary to link.

mod alias;
mod any_client;
mod aws_refuses;
mod bad_input;

mod cli;
mod cloud;
mod cut_off;
mod deployer;
mod drift;
mod isolated;
mod kept_plans;
mod package;
mod package_bad_input;
mod package_files;
mod pinned;
mod pipelines;
mod processes;
mod rehearsal;
mod release;
mod reports;
mod settings;
mod shifts;
mod stack_states;
mod stub_aws;
mod stub_stacks;
mod swapped;
mod synthesized;
mod terminal;
mod way_back;
mod wrong_account;
