//! The toolchain for a target: which compiler, which standard library, which linker. `reproducible.rs` has cargo build with it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::debian::{self, Part};
use crate::reproducible::configs;
use crate::{cargo_config, linker};
use causeway_machine::cmd::{cmd, command};
use causeway_machine::shell::read;
use causeway_model::fault::{Fault, from_error};

/// What releases are built for: Lambda on arm64.
pub const RELEASE: &str = "aarch64-unknown-linux-gnu";
/// The compiler on the PATH.
const RUSTC: &str = "rustc";
/// What else runs on Lambda.
const OTHER: &str = "x86_64-unknown-linux-gnu";

/// A way to build for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The target triple.
    pub target: String,
    /// Whether that is this machine's own.
    pub native: bool,
    /// `rustc -vV` of the compiler that is taken.
    pub rustc: String,
    /// Where the standard library comes from, in words.
    pub library: String,
    /// The linker by its own word, without a path: bills of two machines must not differ by where it lies.
    pub linker: String,
    /// Whether what is built stays on this machine, for the local cloud: it is built beside its tests, with nothing remapped.
    pub(crate) stays: bool,
    /// Whether the caller named the linker.
    pub(crate) own_linker: bool,
    pub(crate) compiler: PathBuf,
    /// Where the compiler lies with all that belongs to it.
    pub(crate) sysroot: PathBuf,
    /// Debian's compiler finds its own libraries there.
    pub(crate) libraries: Option<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Way {
    /// A way to this machine's own target. The linker is still to be found.
    pub async fn host(root: &Path) -> anyhow::Result<Self> {
        let compiler = own_compiler();
        let (rustc, sysroot) = about(&compiler, None, root).await?;
        // What stands on the PATH may be rustup, which looks every time for the compiler that lies there.
        let direct = sysroot.join("bin/rustc");
        let compiler = if compiler == Path::new(RUSTC) && direct.is_file() { direct } else { compiler };
        Ok(Self {
            target: host(&rustc)?,
            native: true,
            rustc,
            library: "this machine's own target".to_owned(),
            linker: String::new(),
            stays: false,
            own_linker: false,
            compiler,
            sysroot,
            libraries: None,
            environment: Vec::new(),
        })
    }

    /// The compiler and the standard library for a target: this machine's own, an installed one, Debian's.
    /// `home` is where Debian's packages are unpacked.
    ///
    /// # Errors
    /// There is no way: a usage fault with the lines that would make one.
    pub async fn find(
        root: &Path,
        target: &str,
        home: &Path,
        say: &(dyn Fn(&str) + Sync),
    ) -> anyhow::Result<Self> {
        let compiler = own_compiler();
        let (own, installed) = tokio::join!(Self::host(root), is_installed(&compiler, target, root));
        let own = own?;
        if own.target == target {
            return Ok(own);
        }
        let mut way = Self { target: target.to_owned(), native: false, ..own };
        if installed {
            way.library = "the standard library that is installed for it".to_owned();
            return Ok(way);
        }
        let mut why = way.lacks_library();
        if target == RELEASE && debian::is_here(root).await {
            match debian::unpacked(home, Part::Compiler, say).await {
                Ok(dir) => return way.debian(&dir, root).await,
                Err(error) => why = format!("{why}; Debian's: {}", from_error(&error)),
            }
        }
        Err(linker::no_library(target, why).into())
    }

    /// Which way there would be, in words; nothing is fetched. `zig`: how Zig can be had, or why it cannot.
    ///
    /// # Errors
    /// There is none, with the lines that would make one: no standard library, or no linker.
    pub async fn outlook(root: &Path, target: &str, zig: Result<String, String>) -> Result<String, Fault> {
        let own = Self::host(root).await.map_err(|error| from_error(&error))?;
        let native = own.target == target;
        let mut way = Self { target: target.to_owned(), native, ..own };
        let library = if native {
            "this machine is of that kind".to_owned()
        } else if is_installed(&way.compiler, target, root).await {
            format!("{} has its standard library", way.short_rustc())
        } else if target == RELEASE && debian::is_here(root).await {
            "by Debian's packages, unpacked below target/ when they are first needed".to_owned()
        } else {
            return Err(linker::no_library(target, way.lacks_library()));
        };
        let linker = if let Some(named) = way.take_named_linker(root).await {
            format!("{} as named by {}", way.linker, named.by)
        } else if native && has_lambdas_glibc(root).await {
            "this machine's own".to_owned()
        } else {
            match zig {
                Ok(zig) => zig,
                Err(why) => way.with_cross_compiler(&why).await.map_err(|error| from_error(&error))?.linker,
            }
        };
        Ok(format!("{library}; linker: {linker}"))
    }

    fn lacks_library(&self) -> String {
        format!("{} has no standard library for it", self.short_rustc())
    }

    async fn debian(mut self, dir: &Path, root: &Path) -> anyhow::Result<Self> {
        self.compiler = dir.join("usr/bin/rustc");
        self.libraries = Some(dir.join("usr/lib/x86_64-linux-gnu"));
        (self.rustc, self.sysroot) = about(&self.compiler, self.libraries.as_deref(), root).await?;
        self.library = "Debian's packages, unpacked below target/".to_owned();
        Ok(self)
    }

    /// The compiler's short name, `rustc 1.95.0 (…)`.
    pub fn short_rustc(&self) -> String {
        self.rustc.lines().next().unwrap_or_default().to_owned()
    }

    /// Takes the linker that the environment or a `.cargo/config.toml` names, if one does: cargo does, also for this
    /// machine's own target. Where it lies is for the person who watches, not for the record.
    pub async fn take_named_linker(&mut self, root: &Path) -> Option<Named> {
        let named = named(root, &self.target)?;
        self.linker = identity(&named.program, root).await;
        self.own_linker = true;
        Some(named)
    }

    /// The same for what stays on this machine: a rehearsal's functions and their tests are one build.
    pub fn that_stays(self) -> Self {
        Self { stays: true, ..self }
    }

    /// Whether what is built stays on this machine.
    pub fn stays(&self) -> bool {
        self.stays
    }

    /// Takes the linker that the compiler takes by itself.
    pub async fn with_own_linker(mut self, root: &Path) -> Self {
        self.linker = identity(Path::new("cc"), root).await;
        self
    }

    /// Takes Zig as linker and C compiler.
    ///
    /// # Errors
    /// The programs that stand before it cannot be written.
    pub async fn with_zig(mut self, zig: &Path, tools: &Path) -> anyhow::Result<Self> {
        let version = read(command(Path::new("."), |sh| cmd!(sh, "{zig} version"))?).await?;
        self.linker = format!("zig {}", version.trim());
        // Zig links against Lambda's glibc, so this machine's own target is no longer simply this machine's.
        self.native = false;
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
    /// There is none: a usage fault with the lines that would fix it.
    pub async fn with_cross_compiler(mut self, why: &str) -> anyhow::Result<Self> {
        let name = linker::cross_compiler(&self.target);
        match read(command(Path::new("."), |sh| cmd!(sh, "{name} --version"))?).await {
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
}

/// A linker that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The program.
    pub program: PathBuf,
    /// Who names it: a variable or a file.
    pub by: String,
}

/// The compiler that the environment names, else the one on the PATH.
fn own_compiler() -> PathBuf {
    PathBuf::from(std::env::var_os("RUSTC").unwrap_or_else(|| RUSTC.into()))
}

/// What a compiler says of itself, and where it lies; `libraries` is where it finds its own.
async fn about(compiler: &Path, libraries: Option<&Path>, root: &Path) -> anyhow::Result<(String, PathBuf)> {
    let libraries = || libraries.iter().map(|path| ("LD_LIBRARY_PATH", path));
    let rustc = read(command(root, |sh| cmd!(sh, "{compiler} -vV").envs(libraries()))?).await?;
    let sysroot = command(root, |sh| cmd!(sh, "{compiler} --print sysroot").envs(libraries()))?;
    Ok((rustc, PathBuf::from(read(sysroot).await?.trim())))
}

/// Whether a compiler has the standard library of a target.
async fn is_installed(compiler: &Path, target: &str, root: &Path) -> bool {
    let ask = command(root, |sh| cmd!(sh, "{compiler} --print target-libdir --target={target}"));
    let Ok(ask) = ask else { return false };
    read(ask).await.is_ok_and(|dir| has_std(Path::new(dir.trim())))
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
fn named(root: &Path, target: &str) -> Option<Named> {
    let upper = target.to_ascii_uppercase().replace('-', "_");
    let variable = format!("CARGO_TARGET_{upper}_LINKER");
    if let Some(name) = std::env::var(&variable).ok().filter(|name| !name.is_empty()) {
        return Some(Named { program: beside(root, &name), by: variable });
    }
    configs(root).find_map(|(path, text)| {
        let name = cargo_config::linker(&text, target)?;
        // A file's paths begin beside the folder that it lies in.
        let base = path.parent().and_then(Path::parent).unwrap_or(root);
        Some(Named { program: beside(base, &name), by: path.display().to_string() })
    })
}

/// A name is looked up on the PATH; a path begins at a folder.
fn beside(dir: &Path, name: &str) -> PathBuf {
    if name.contains('/') { dir.join(name) } else { PathBuf::from(name) }
}

/// What a linker says that it is: the first line of `--version`. Its file's name where it says nothing.
async fn identity(linker: &Path, root: &Path) -> String {
    let said = match command(root, |sh| cmd!(sh, "{linker} --version").env("LC_ALL", "C")) {
        Ok(ask) => read(ask).await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).map(ToOwned::to_owned);
    line.unwrap_or_else(|| {
        let name = linker.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("{name}, of a version that it does not say")
    })
}

/// Whether what is linked against this machine's glibc runs on Lambda.
pub async fn has_lambdas_glibc(root: &Path) -> bool {
    let Ok(ask) = command(root, |sh| cmd!(sh, "getconf GNU_LIBC_VERSION")) else { return false };
    read(ask).await.is_ok_and(|said| linker::is_lambdas_or_older(&said))
}

/// Writes a program unless it stands there already: cargo looks at its time.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(path.to_path_buf());
    }
    causeway_machine::files::write_private(path, text.as_bytes())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", path.display()))?;
    Ok(path.to_path_buf())
}

/// A fault about a `--target` that Lambda does not run.
///
/// # Errors
/// A usage fault, for anything but Linux on arm64 or x86-64 with Lambda's own glibc.
pub fn runs_on_lambda(target: &str) -> Result<(), Fault> {
    let known = [RELEASE, OTHER];
    if known.contains(&target) {
        return Ok(());
    }
    let why = if known.iter().any(|known| target == known.replace("gnu", "musl")) {
        "musl is not supported: packages are linked against Lambda's own glibc, 2.34, and held to it"
            .to_owned()
    } else if known.iter().any(|known| target.starts_with(&format!("{known}."))) {
        "the glibc is no part of the name here: it is always Lambda's, 2.34".to_owned()
    } else {
        format!("Lambda runs Linux on arm64 and x86-64 only, so there are {RELEASE} and {OTHER}")
    };
    Err(Fault::usage("build for the target", target)
        .why(why)
        .next(format!("leave --target out for {RELEASE}, or name host or {OTHER}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_targets_run_on_lambda_and_the_others_are_told_why_not() {
        for known in [RELEASE, OTHER] {
            assert!(runs_on_lambda(known).is_ok(), "{known}");
        }
        for (target, why) in [
            ("aarch64-unknown-linux-musl", "musl is not supported"),
            ("x86_64-unknown-linux-musl", "musl is not supported"),
            ("aarch64-unknown-linux-gnu.2.34", "no part of the name"),
            ("x86_64-unknown-linux-gnux32", "Linux on arm64 and x86-64 only"),
            ("aarch64-unknown-linux-gnu_ilp32", "Linux on arm64 and x86-64 only"),
            ("x86_64-pc-windows-msvc", "Linux on arm64 and x86-64 only"),
            ("", "Linux on arm64 and x86-64 only"),
        ] {
            let fault = runs_on_lambda(target).unwrap_err();
            assert!(
                fault.why.contains(why) && fault.next.contains("leave --target out"),
                "{target}: {fault:?}"
            );
        }
    }
}
