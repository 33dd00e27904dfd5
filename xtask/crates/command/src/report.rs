//! `--report FILE.html`: the page of what a command did, written once its result is known.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use causeway_args::Report;

use super::Context;
use crate::page::page;
use crate::term::Out;
use causeway_machine::files::write_whole;
use causeway_model::fault::{Fault, from_error};

/// Where the page goes; one command runs in a process.
static WANTED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Begins to keep lines for the page, where one is wanted; sees now that it can be written later.
///
/// # Errors
/// The folder does not exist or may not be written in: a usage fault, before anything has happened.
pub fn begin(report: &Report, context: &Context) -> anyhow::Result<()> {
    let Some(path) = &report.report else { return Ok(()) };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritable = |why: String| {
        Fault::usage("write the report", path.display().to_string())
            .why(why)
            .next("name a file in a folder that exists and may be written")
    };
    if path.is_dir() {
        return Err(unwritable("it is a folder".to_owned()).into());
    }
    tempfile::NamedTempFile::new_in(dir).map_err(|error| unwritable(error.to_string()))?;
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
    context.out.record();
    Ok(())
}

/// Writes the page, where one is wanted. The result has been said by now, so that a page which cannot be written is a
/// sentence on stderr and no other result.
pub(super) fn write(out: &Out) {
    let Some(path) = WANTED.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let written = page(&out.recorded())
        .map_err(|why| Fault::failed("make the report", "").why(why).into())
        .and_then(|page| write_whole(&path, page.as_bytes()));
    match written {
        Ok(()) => out.note(format!("report: {}", path.display())),
        Err(error) => out.note(format!("no report: {}", from_error(&error))),
    }
}
