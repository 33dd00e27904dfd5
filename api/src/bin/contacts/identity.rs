//! Which function this is. Its version is compiled in here and not into the library, so that a new one rebuilds this function only.

use api::serve::Identity;

pub(crate) const IDENTITY: Identity = Identity {
    function: "contacts",
    version: match option_env!("CAUSEWAY_VERSION_CONTACTS") {
        Some(stamped) => stamped,
        None => concat!(env!("CARGO_PKG_VERSION"), "+unstamped"),
    },
};
