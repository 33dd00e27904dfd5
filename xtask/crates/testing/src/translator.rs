//! AWS's translator, once a process of tests.

use std::sync::{Arc, OnceLock};

use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;

use crate::workspace;

/// The expander that all tests of a process share; the first one installs what is missing.
pub fn expander() -> &'static Arc<Expander> {
    static SHARED: OnceLock<Arc<Expander>> = OnceLock::new();
    SHARED.get_or_init(|| {
        // A thread of its own: tests may be inside of a runtime.
        let made = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(Expander::kept(&Paths::of(&workspace()), &|_| {})).unwrap()
        });
        made.join().unwrap()
    })
}
