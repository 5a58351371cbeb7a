//! Every verb of the command line, as the program itself lists them.

use std::collections::BTreeSet;

use crate::support::Place;

/// Every command that does something: those without commands below them, and those that can be run without one.
pub(crate) fn all() -> BTreeSet<String> {
    let place = Place::empty();
    place.run(&["man", "--out", "man"]).json();
    let pages = crate::support::files(&place.path("man"));
    assert!(pages.len() > 100, "there are only {} pages", pages.len());
    pages.iter().filter_map(|page| verb(&std::fs::read_to_string(page).unwrap())).collect()
}

/// The verb of a manual page, from its synopsis: `\fBcim\-keys unit add\fR [\fB\-\-parent\fR] … <\fINAME\fR>`. A command that
/// can't be run without one below it has `<subcommands>` there.
fn verb(page: &str) -> Option<String> {
    let (_, rest) = page.split_once(".SH SYNOPSIS\n").expect("a page has a synopsis");
    let synopsis = rest.lines().next().unwrap().replace("\\-", "-");
    if synopsis.contains("<\\fIsubcommands\\fR>") {
        return None;
    }
    let (name, _) = synopsis.strip_prefix("\\fBcim-keys").unwrap().split_once("\\fR").unwrap();
    Some(name.trim().to_owned())
}
