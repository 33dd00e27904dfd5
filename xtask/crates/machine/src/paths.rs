//! Where the local cloud keeps its things: everything under `target/causeway/`.

use std::path::{Path, PathBuf};

/// The directories of one checkout's local cloud.
#[derive(Debug, Clone)]
pub struct Paths {
    base: PathBuf,
    local: PathBuf,
}

impl Paths {
    /// Below a checkout. `CAUSEWAY_LOCAL_DIR` moves the cloud's own state elsewhere, for instance for tests that need
    /// a cloud beside the developer's; what is installed stays shared.
    pub fn of(root: &Path) -> Self {
        let base = root.join("target/causeway");
        let local = match std::env::var_os("CAUSEWAY_LOCAL_DIR") {
            Some(moved) if !moved.is_empty() => root.join(moved),
            _ => base.join("local"),
        };
        Self { base, local }
    }

    /// The Python environment.
    pub fn venv(&self) -> PathBuf {
        match std::env::var_os("CAUSEWAY_VENV_DIR") {
            Some(moved) if !moved.is_empty() => PathBuf::from(moved),
            _ => self.base.join("venv"),
        }
    }

    /// Where the second opinion of `prove` is kept, by the digest of what it is: outside of the tree, since its license is not
    /// ours. `CAUSEWAY_CACHE_DIR` moves it, else it is the user's own cache.
    pub fn second_opinion(&self, digest: &str) -> PathBuf {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = variable("CAUSEWAY_CACHE_DIR")
            .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("causeway")))
            .or_else(|| {
                let cache = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
                variable("HOME").map(|home| home.join(cache).join("causeway"))
            })
            // A user without a home has only the checkout; git does not see this folder either.
            .unwrap_or_else(|| self.base.clone());
        cache.join(format!("iam-simulate-{digest}"))
    }

    /// Where expanded templates are kept.
    pub fn expanded(&self) -> PathBuf {
        self.base.join("expanded")
    }

    /// Where the hooks lie that are tested as they are released.
    pub fn packaged_hooks(&self) -> PathBuf {
        self.base.join("packaged-hooks")
    }

    /// The cloud's own directory.
    pub fn local(&self) -> &Path {
        &self.local
    }

    /// The same checkout with the cloud's own state in another folder below it.
    pub fn with_local(&self, dir: &Path) -> Self {
        Self { base: self.base.clone(), local: dir.to_path_buf() }
    }

    /// What other commands need to find the cloud.
    pub fn state(&self) -> PathBuf {
        self.local.join("state.json")
    }

    /// The cloud's certificate authority.
    pub fn ca(&self) -> PathBuf {
        self.local.join("ca.pem")
    }

    /// The authorities in force and the cloud's.
    pub fn bundle(&self) -> PathBuf {
        self.local.join("bundle.pem")
    }

    /// The AWS configuration with one profile an account.
    pub fn aws_config(&self) -> PathBuf {
        self.local.join("aws/config")
    }

    /// The keys of those profiles.
    pub fn aws_credentials(&self) -> PathBuf {
        self.local.join("aws/credentials")
    }

    /// A log of one of the cloud's processes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Where those logs lie.
    pub fn logs(&self) -> PathBuf {
        self.local.join("logs")
    }

    /// What was started and must be ended.
    pub fn processes(&self) -> PathBuf {
        self.local.join("processes")
    }

    /// What the emulator keeps on disk while it runs.
    pub fn scratch(&self) -> PathBuf {
        self.local.join("scratch")
    }

    /// The checkout in which a rehearsal builds. It keeps its path and its target directory, so that cargo only
    /// builds what changed.
    pub fn rehearsal(&self) -> PathBuf {
        match std::env::var_os("CAUSEWAY_REHEARSAL_DIR") {
            Some(moved) if !moved.is_empty() => PathBuf::from(moved),
            _ => self.base.join("rehearsal"),
        }
    }
}
