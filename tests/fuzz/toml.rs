//! A file of settings, which may lie in anybody's repository.

use tapline::config::{Config, Directory};

use crate::engine::fuzz;

#[test]
fn toml_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tapline.toml");
    fuzz("toml", |input| {
        std::fs::write(&file, input).unwrap();
        if let Err(error) = Config::load(Some(&file), Directory::Found) {
            assert!(error.to_string().contains("tapline.toml"), "it says which file: {error}");
        }
    });
}
