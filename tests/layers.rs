//! The shape of the sources, as ARCHITECTURE.md has it: who imports whom, what is pure, where `unsafe` may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Which folders of `src` each may import. `error` is the only file among them.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("sys", &["shim"]),
    ("waiting", &[]),
    ("shim", &[]),
    ("task", &["error", "shim", "sys"]),
    ("codec", &["error"]),
    ("proto", &["error"]),
    ("transport", &["error"]),
    // Links and contexts have the same phases: those of the protocol.
    ("dialog", &["error", "shim", "waiting", "task", "codec", "proto"]),
    ("host", &["error", "sys", "task", "transport"]),
    ("testing", &["error", "task"]),
    ("fuzzing", &["error", "codec", "proto"]),
    ("actor", &["error", "shim", "sys", "waiting", "task", "codec", "proto", "transport", "dialog", "host"]),
];

/// What the root re-exports under a name of its own.
const REEXPORTED: &[(&str, &str)] = &[("actor_nursery", "actor"), ("nursery", "task")];

/// The only code, outside the wire, that knows of a protocol and of a transport.
const BOTH: &[(&str, &str)] = &[("src/actor/child/mem.rs", "makes the two ends and says which is whose")];

/// Where a linker section is declared or filled, which the compiler counts as unsafe.
const SECTIONS: &[&str] =
    &["src/actor/endpoint.rs", "src/codec/registry.rs", "src/host/registry.rs", "src/host/smol.rs"];

/// The most lines that a function may have.
const LINES: usize = 60;

/// A source file: where it is, and its text without comments and the insides of strings.
struct Source {
    name: String,
    code: String,
}

impl Source {
    fn is_in(&self, folder: &str) -> bool {
        self.name.starts_with(&format!("src/{folder}/")) || self.name == format!("src/{folder}.rs")
    }

    fn is_test(&self) -> bool {
        self.name.contains("/tests") || self.name.ends_with("_tests.rs")
    }

    /// The steps from the root of the crate to the module that the file is.
    fn depth(&self) -> usize {
        let steps = self.name.trim_start_matches("src/").split('/').count();
        if self.name.ends_with("/mod.rs") { steps - 1 } else { steps }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    rust_files(&root().join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "no sources in {folder}");
    let source = |file: PathBuf| {
        let name = file.strip_prefix(root()).expect("it was found below the root").display().to_string();
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        Source { name, code: strip(&text) }
    };
    files.into_iter().map(source).collect()
}

/// Replaces comments and the insides of strings by spaces; line ends stay.
fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest));
        match skipped {
            Some(length) => {
                out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
            }
            None => {
                out.push(next);
                rest = &rest[next.len_utf8()..];
                // A name that ends in `r` or `b` does not begin a string.
                while is_name(next) && rest.starts_with(is_name) {
                    let next = rest.chars().next().expect("it starts with one");
                    out.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
    }
    out
}

/// The length of the comment that `text` begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then(|| text.find("*/").map_or(text.len(), |end| end + 2))
}

/// The length of the string or character that `text` begins with.
fn literal(text: &str) -> Option<usize> {
    let bare = text.strip_prefix('b').unwrap_or(text);
    let before = text.len() - bare.len();
    if let Some(raw) = bare.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = raw[hashes..].strip_prefix('"')?;
        return Some(before + 2 + hashes + inside.find(&end)? + end.len());
    }
    let quote = bare.chars().next().filter(|&c| c == '"' || c == '\'')?;
    let mut escaped = false;
    let end = bare.char_indices().skip(1).find(|&(_, c)| {
        let ends = !escaped && c == quote;
        escaped = !escaped && c == '\\';
        ends
    })?;
    // A lifetime has no closing quote near.
    let is_lifetime = quote == '\'' && !bare[1..].starts_with('\\') && bare[1..end.0].chars().count() != 1;
    (!is_lifetime).then_some(before + end.0 + 1)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The places of a word that is not part of a longer name.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let whole = move |at: usize| !code[..at].ends_with(is_name) && !code[at + word.len()..].starts_with(is_name);
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| whole(at))
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The name that `text` begins with, or nothing.
fn name(text: &str) -> &str {
    &text[..text.len() - text.trim_start_matches(is_name).len()]
}

/// The names that follow a path's `::`, one or those of a group `{a::b, c}`.
fn first_steps(rest: &str) -> Vec<&str> {
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut start, mut steps) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                steps.push(name(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    steps
}

/// What a file names of the crate's root, with the place: through `crate::`, or through `super::` up to the root.
fn imports(source: &Source) -> Vec<(usize, &str)> {
    let code = source.code.as_str();
    let mut found = Vec::new();
    for at in words(code, "crate") {
        if let Some(rest) = code[at + 5..].strip_prefix("::") {
            found.extend(first_steps(rest).into_iter().map(|step| (at, step)));
        }
    }
    let to_root = "super::".repeat(source.depth());
    for (at, _) in code.match_indices(&to_root) {
        let rest = &code[at + to_root.len()..];
        if !code[..at].ends_with("super::") && !rest.starts_with("super::") {
            found.extend(first_steps(rest).into_iter().map(|step| (at, step)));
        }
    }
    found
}

/// The folders that a file imports from.
fn layers(source: &Source) -> Vec<(usize, &str)> {
    let layer = |name| REEXPORTED.iter().find(|(export, _)| *export == name).map_or(name, |(_, layer)| *layer);
    let all = imports(source).into_iter().map(|(at, name)| (at, layer(name)));
    all.filter(|(_, name)| LAYERS.iter().any(|(layer, _)| layer == name)).collect()
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn imports_go_one_way() {
    let sources = sources("src");
    let mut wrong = Vec::new();
    for (layer, allowed) in LAYERS {
        for source in sources.iter().filter(|source| source.is_in(layer)) {
            for (at, name) in layers(source) {
                if name != *layer && !allowed.contains(&name) {
                    wrong.push(format!("{}:{}: {layer} imports {name}", source.name, line_of(&source.code, at)));
                }
            }
        }
    }
    assert_none("imports against the order of the layers", &wrong);
    let placed = |source: &&Source| LAYERS.iter().any(|(layer, _)| source.is_in(layer)) || source.name == "src/lib.rs";
    let strangers: Vec<String> = sources.iter().filter(|s| !placed(s)).map(|s| s.name.clone()).collect();
    assert_none("files in no layer: say in this test what they may import", &strangers);
}

#[test]
fn the_protocol_is_pure() {
    let refused = ["async", "await", "Instant", "SystemTime", "tokio", "smol", "async_io", "rustix"];
    let paths = ["std::net", "std::os", "std::fs", "std::process", "std::thread"];
    let mut found = Vec::new();
    for source in sources("src").iter().filter(|source| source.is_in("proto") && !source.is_test()) {
        for word in refused {
            let line = |at| format!("{}:{}: {word}", source.name, line_of(&source.code, at));
            found.extend(words(&source.code, word).map(line));
        }
        for path in paths {
            let line = |(at, _)| format!("{}:{}: {path}", source.name, line_of(&source.code, at));
            found.extend(source.code.match_indices(path).map(line));
        }
    }
    assert_none("the protocol does no I/O, has no clock and no tasks", &found);
}

#[test]
fn the_protocol_and_the_transports_meet_in_one_place() {
    let mut found = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_in("actor/wire")) {
        let names: Vec<&str> = layers(source).into_iter().map(|(_, name)| name).collect();
        let both = names.contains(&"proto") && names.contains(&"transport");
        if both && !BOTH.iter().any(|(file, _)| *file == source.name) {
            found.push(source.name.clone());
        }
    }
    assert_none("only src/actor/wire joins them", &found);
}

#[test]
fn unsafe_is_in_sys_alone() {
    let mut found = Vec::new();
    for source in sources("src") {
        let line = |at| format!("{}:{}", source.name, line_of(&source.code, at));
        if !source.is_in("sys") {
            found.extend(words(&source.code, "unsafe").map(line));
        }
        let allows = source.code.contains("allow(unsafe_code");
        let known = source.is_in("sys") || SECTIONS.contains(&source.name.as_str());
        if allows && !known {
            found.push(format!("{}: allow(unsafe_code)", source.name));
        }
        if SECTIONS.contains(&source.name.as_str()) && !source.code.contains("linkme::distributed_slice") {
            found.push(format!("{}: has no linker section, and so no reason to allow it", source.name));
        }
    }
    for folder in ["bridge/src", "codecs/src", "macros/src"] {
        for source in sources(folder) {
            let line = |at| format!("{}:{}", source.name, line_of(&source.code, at));
            found.extend(words(&source.code, "unsafe").map(line));
        }
    }
    assert_none("unsafe code outside src/sys", &found);
    let codecs = ["error", "own", "read", "rules", "write"].map(|file| format!("codec/{file}"));
    let folders = ["task", "proto", "transport"].map(|folder| format!("{folder}/mod"));
    for file in folders.into_iter().chain(codecs) {
        let file = root().join("src").join(file).with_extension("rs");
        let text = fs::read_to_string(&file).expect("each of these files is there");
        assert!(text.contains("#![forbid(unsafe_code)]"), "{} does not forbid unsafe code", file.display());
    }
}

#[test]
fn the_bridge_sees_what_every_user_sees() {
    let private = |source: &Source| source.code.contains("__private");
    let found: Vec<String> = sources("bridge/src").into_iter().filter(private).map(|source| source.name).collect();
    assert_none("the bridge reaches behind the public items", &found);
}

#[test]
fn the_core_does_not_depend_on_tokio() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is there");
    let section = text.split("\n[dependencies]\n").nth(1).expect("it has dependencies");
    let section = section.split("\n[").next().unwrap_or(section);
    assert!(section.contains("rmp-serde"), "this test does not find the dependencies any more");
    assert!(!section.contains("tokio"), "the core depends on tokio:\n{section}");
}

/// Each function of a file: its line, its name, and its length in lines.
fn functions(code: &str) -> Vec<(usize, &str, usize)> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name = name(code[at + 2..].trim_start());
        let Some(length) = end(&code[at..]) else { continue };
        if !name.is_empty() {
            found.push((line_of(code, at), name, code[at..at + length].matches('\n').count() + 1));
        }
    }
    found
}

/// Where the body of the function that `code` begins with ends; `None` if it has no body.
fn end(code: &str) -> Option<usize> {
    let (mut round, mut curly) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if round == 0 && curly == 0 => return None,
            '{' => curly += 1,
            '}' if curly == 1 => return Some(at),
            '}' => curly -= 1,
            _ => {}
        }
        if round < 0 {
            return None;
        }
    }
    None
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    for folder in ["src", "bridge", "codecs", "macros", "examples", "tests", "benches"] {
        // What others have published is as long as it is.
        for source in sources(folder).into_iter().filter(|source| !source.name.starts_with("examples/published/")) {
            let over = functions(&source.code).into_iter().filter(|(_, _, lines)| *lines > LINES);
            long.extend(over.map(|(line, name, lines)| format!("{}:{line}: {name} has {lines} lines", source.name)));
        }
    }
    assert_none("functions of more than 60 lines", &long);
}

#[test]
fn this_test_reads_as_the_compiler_does() {
    let code = strip("fn f<'a>(x: &'a str) { /* fn g */ \"}fn h{\"; '\\''; '{'; r#\"\"}\"#; b'}' } // fn i\nfn j() {}");
    let names: Vec<&str> = functions(&code).into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(names, ["f", "j"]);
    let source =
        Source { name: "src/a/b/c.rs".into(), code: "use crate::{x::{y, z}, w}; super::super::super::v::q".into() };
    let names: Vec<&str> = imports(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["x", "w", "v"]);
}
