//! The way to a target: which compiler, which linker, and what keeps this machine out of the bytes.
//!
//! Everything is given to cargo through its environment. A small program of ours stands before the compiler and adds the
//! remapping of paths: as flags they would be part of what cargo takes for another build.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::debian::{self, Part};
use crate::model::fault::Fault;
use crate::model::linker;
use crate::shell::{program, read};

/// What releases are built for: Lambda on arm64.
pub(crate) const RELEASE: &str = "aarch64-unknown-linux-gnu";

/// Variables that would make other bytes of the same commit.
const LEFT_OUT: [&str; 6] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
];

/// A way to build for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The target triple.
    pub(crate) target: String,
    /// Whether that is this machine's own.
    pub(crate) native: bool,
    /// `rustc -vV` of the compiler that is taken.
    pub(crate) rustc: String,
    /// Where the standard library comes from, in words.
    pub(crate) library: String,
    /// The linker, in words.
    pub(crate) linker: String,
    compiler: PathBuf,
    /// Debian's compiler finds its own libraries there.
    libraries: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Way {
    /// A way to this machine's own target, with the linker that the compiler takes by itself.
    pub(crate) async fn host(root: &Path) -> anyhow::Result<Self> {
        let compiler = PathBuf::from(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let rustc = read(program(&compiler, ["-vV"], root)).await?;
        Ok(Self {
            target: host(&rustc)?,
            native: true,
            rustc,
            library: "this machine's own target".to_owned(),
            linker: "cc".to_owned(),
            compiler,
            libraries: None,
            environment: Vec::new(),
        })
    }

    /// The compiler and the standard library for a target: this machine's own, an installed one, Debian's.
    /// `home` is where Debian's packages are unpacked.
    ///
    /// # Errors
    /// There is no way: a usage fault with the lines that would make one.
    pub(crate) async fn find(
        root: &Path,
        target: &str,
        home: &Path,
        say: &(dyn Fn(&str) + Sync),
    ) -> anyhow::Result<Self> {
        let own = Self::host(root).await?;
        if own.target == target {
            return Ok(own);
        }
        let mut way = Self { target: target.to_owned(), native: false, ..own };
        if way.is_installed(root).await {
            way.library = "the standard library that is installed for it".to_owned();
            return Ok(way);
        }
        let mut why = way.lacks_library();
        if target == RELEASE && debian::is_here(root).await {
            match debian::unpacked(home, Part::Compiler, say).await {
                Ok(dir) => return way.debian(&dir, root).await,
                Err(error) => why = format!("{why}; Debian's: {}", crate::model::fault::from_error(&error)),
            }
        }
        Err(linker::no_library(target, why).into())
    }

    /// Which way there would be, in words; nothing is fetched.
    ///
    /// # Errors
    /// There is none, with the lines that would make one.
    pub(crate) async fn outlook(root: &Path, target: &str) -> Result<String, Fault> {
        let own = Self::host(root).await.map_err(|error| crate::model::fault::from_error(&error))?;
        if own.target == target {
            return Ok("this machine is arm64".to_owned());
        }
        let way = Self { target: target.to_owned(), native: false, ..own };
        if way.is_installed(root).await {
            return Ok(format!("{} has its standard library", way.short_rustc()));
        }
        if debian::is_here(root).await {
            return Ok("by Debian's packages, unpacked below target/ when they are first needed".to_owned());
        }
        Err(linker::no_library(target, way.lacks_library()))
    }

    async fn is_installed(&self, root: &Path) -> bool {
        let asked = ["--print", "target-libdir", "--target", &self.target];
        let dir = read(program(&self.compiler, asked, root)).await;
        dir.is_ok_and(|dir| has_std(Path::new(dir.trim())))
    }

    fn lacks_library(&self) -> String {
        format!("{} has no standard library for it", self.short_rustc())
    }

    async fn debian(mut self, dir: &Path, root: &Path) -> anyhow::Result<Self> {
        self.compiler = dir.join("usr/bin/rustc");
        self.libraries = Some(dir.join("usr/lib/x86_64-linux-gnu"));
        let mut ask = program(&self.compiler, ["-vV"], root);
        ask.envs(self.libraries.iter().map(|path| ("LD_LIBRARY_PATH", path)));
        self.rustc = read(ask).await?;
        self.library = "Debian's packages, unpacked below target/".to_owned();
        Ok(self)
    }

    /// The compiler's short name, `rustc 1.95.0 (…)`.
    pub(crate) fn short_rustc(&self) -> String {
        self.rustc.lines().next().unwrap_or_default().to_owned()
    }

    /// Whether a linker must be found: for this machine's own target there is one, and one that is named is taken.
    pub(crate) fn wants_linker(&mut self, root: &Path) -> bool {
        if self.native {
            return false;
        }
        match named(root, &self.target) {
            Some(name) => {
                self.linker = name;
                false
            }
            None => true,
        }
    }

    /// Takes Zig as linker and C compiler.
    ///
    /// # Errors
    /// The programs that stand before it cannot be written.
    pub(crate) async fn with_zig(mut self, zig: &Path, tools: &Path) -> anyhow::Result<Self> {
        let version = read(program(zig, ["version"], Path::new("."))).await?;
        self.linker = format!("zig {}", version.trim());
        let dir = tools.join(&self.target);
        let cc = write(&dir.join("cc"), &linker::zig_cc(&zig.display().to_string(), &self.target))?;
        let ar = write(&dir.join("ar"), &linker::zig_ar(&zig.display().to_string()))?;
        let cache = tools.join("zig-cache").display().to_string();
        self.environment.push(("ZIG_GLOBAL_CACHE_DIR".to_owned(), cache.clone()));
        self.environment.push(("ZIG_LOCAL_CACHE_DIR".to_owned(), cache));
        self.take(cc.display().to_string(), Some(ar.display().to_string()));
        Ok(self)
    }

    /// Takes the distribution's cross compiler; `why` says what stood against Zig.
    ///
    /// # Errors
    /// There is none: a usage fault with the lines that would mend it.
    pub(crate) async fn with_cross_compiler(mut self, why: &str) -> anyhow::Result<Self> {
        let name = linker::cross_compiler(&self.target);
        match read(program(&name, ["--version"], Path::new("."))).await {
            Ok(text) => {
                self.linker = text.lines().next().unwrap_or(&name).to_owned();
                self.take(name, None);
                Ok(self)
            }
            Err(_) => Err(linker::no_linker(&self.target, &name, why).into()),
        }
    }

    fn take(&mut self, cc: String, ar: Option<String>) {
        let upper = self.target.to_ascii_uppercase().replace('-', "_");
        let lower = self.target.replace('-', "_");
        self.environment.push((format!("CARGO_TARGET_{upper}_LINKER"), cc.clone()));
        self.environment.push((format!("CC_{lower}"), cc));
        if let Some(ar) = ar {
            self.environment.push((format!("AR_{lower}"), ar));
        }
    }

    /// Leads a cargo command this way, and keeps this machine out of what it builds.
    ///
    /// # Errors
    /// The program that stands before the compiler cannot be written.
    pub(crate) async fn lead(
        &self,
        command: &mut tokio::process::Command,
        root: &Path,
        tools: &Path,
    ) -> anyhow::Result<()> {
        let mut sysroot = program(&self.compiler, ["--print", "sysroot"], root);
        sysroot.envs(self.libraries.iter().map(|path| ("LD_LIBRARY_PATH", path)));
        let sysroot = read(sysroot).await?;
        let cargo_home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
            .unwrap_or_else(|| root.join(".cargo"));
        let target_dir =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        // The last one that fits is taken.
        let paths = [
            (root.to_path_buf(), "/causeway"),
            (target_dir, "/target"),
            (cargo_home, "/cargo"),
            (PathBuf::from(sysroot.trim()), "/rust"),
        ];
        let remapped: Vec<(String, &str)> =
            paths.into_iter().map(|(path, short)| (path.display().to_string(), short)).collect();
        let text = linker::rustc(
            &self.compiler.display().to_string(),
            self.libraries.as_ref().map(|path| path.display().to_string()).as_deref(),
            &remapped,
        );
        let rustc = write(&tools.join(&self.target).join("rustc"), &text)?;
        for name in LEFT_OUT {
            command.env_remove(name);
        }
        // What was built before must not show in what is built now.
        command.env("CARGO_INCREMENTAL", "0");
        command.env("RUSTC", rustc).env("LC_ALL", "C").env("TZ", "UTC").env("SOURCE_DATE_EPOCH", "0");
        let c_flags: Vec<String> =
            remapped.iter().map(|(path, short)| format!("-ffile-prefix-map={path}={short}")).collect();
        command.env(format!("CFLAGS_{}", self.target.replace('-', "_")), c_flags.join(" "));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(())
    }

    /// A warning where variables of the caller's are left out.
    pub(crate) fn left_out() -> Option<String> {
        let set: Vec<&str> = LEFT_OUT
            .into_iter()
            .filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
            .collect();
        (!set.is_empty())
            .then(|| format!("{} is left out: a package depends on what is committed alone", set.join(", ")))
    }
}

fn host(rustc: &str) -> anyhow::Result<String> {
    let host = rustc.lines().find_map(|row| row.strip_prefix("host: "));
    host.map(ToOwned::to_owned).context("rustc does not name its host")
}

/// Whether a folder holds a standard library. The compiler names it even where it does not exist.
fn has_std(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

/// The linker that the environment or a `.cargo/config.toml` names for a target.
fn named(root: &Path, target: &str) -> Option<String> {
    let upper = target.to_ascii_uppercase().replace('-', "_");
    let variable = format!("CARGO_TARGET_{upper}_LINKER");
    if let Some(name) = std::env::var(&variable).ok().filter(|name| !name.is_empty()) {
        return Some(format!("{name} ({variable})"));
    }
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let above = root.ancestors().map(|dir| dir.join(".cargo")).chain(home);
    for dir in above {
        for file in ["config.toml", "config"] {
            let path = dir.join(file);
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            if let Some(name) = linker::of_config(&text, target) {
                return Some(format!("{name} ({})", path.display()));
            }
        }
    }
    None
}

/// Writes a program unless it stands there already: cargo looks at its time.
fn write(path: &Path, text: &str) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(path.to_path_buf());
    }
    crate::files::write_private(path, text.as_bytes())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", path.display()))?;
    Ok(path.to_path_buf())
}

/// A fault about a `--target` that Lambda does not run.
///
/// # Errors
/// A usage fault, for anything but Linux on arm64 or x86-64.
pub(crate) fn runs_on_lambda(target: &str) -> Result<(), Fault> {
    if ["aarch64-unknown-linux-", "x86_64-unknown-linux-"].iter().any(|known| target.starts_with(known)) {
        return Ok(());
    }
    Err(Fault::usage("build for the target", target)
        .why("Lambda runs Linux on arm64 and x86-64 only")
        .next(format!("leave --target out for {RELEASE}, or name host or x86_64-unknown-linux-gnu")))
}
