//! Lint on the screen: a badge in the list, the reason in the detail, `~lint`, and a screen by server.

use std::sync::Arc;

use super::rig::{Rig, busy, session_id};
use crate::envelope::{Direction, Seq};
use crate::event::{Event, Finding, LintLevel};

fn finding(seq: u64, code: &str, level: LintLevel) -> Finding {
    Finding {
        code: code.to_owned(),
        level,
        session: session_id(1),
        seq: Seq(seq),
        by: Direction::ToClient,
        text: "`t`: \"x\" is not of type \"number\"\u{1b}[2J".to_owned(),
        hint: "change the one or the other".to_owned(),
        section: "server/tools#output-schema".to_owned(),
        revision: "2025-11-25".to_owned(),
        clients: vec!["rmcp 3.11.0 goes on".to_owned()],
    }
}

fn found(rig: &mut Rig, findings: &[Finding]) {
    findings.iter().for_each(|it| rig.on_event(Event::Found(Arc::new(it.clone()))));
}

fn shown(rig: &Rig) -> Vec<u64> {
    let (rows, list) = rig.model.messages();
    (0..list.len(rows)).map(|at| list.row(rows, at).unwrap().envelope.seq.0).collect()
}

#[test]
fn finding_has_a_badge_and_a_side_of_its_own() {
    let mut rig = busy(120, 36);
    assert!(!rig.picture().contains('▲'));
    found(&mut rig, &[finding(1190, "tool-result", LintLevel::Error)]);
    rig.press(": 1 1 9 0 enter");
    let picture = rig.picture();
    assert!(picture.lines().any(|line| line.contains('▲') && line.contains("1190")), "{picture}");
    assert!(picture.contains(" Lint "), "{picture}");
    rig.press("enter l l l l l");
    let picture = rig.picture();
    assert!(picture.contains("[Lint]") && picture.contains("error tool-result, by the server"), "{picture}");
    assert!(
        picture.contains("hint: change the one or the other") && picture.contains("rmcp 3.11.0 goes on"),
        "{picture}"
    );
}

#[test]
fn lint_filter_finds_what_is_found_later() {
    let mut rig = busy(120, 36);
    rig.press("f");
    rig.typing("~lint tool-");
    rig.press("enter");
    assert_eq!(shown(&rig), [0; 0]);
    found(&mut rig, &[finding(1190, "tool-result", LintLevel::Error), finding(1191, "slow-reply", LintLevel::Info)]);
    assert_eq!(shown(&rig), [1190]);
}

#[test]
fn lint_screen_groups_by_server_and_leads_to_the_messages() {
    let mut rig = busy(120, 36);
    rig.press("7");
    assert!(rig.picture().contains("nothing was found"));
    let all = [
        finding(1190, "tool-result", LintLevel::Error),
        finding(1191, "slow-reply", LintLevel::Info),
        finding(1192, "tool-result", LintLevel::Error),
        finding(1192, "tool-result", LintLevel::Error),
    ];
    found(&mut rig, &all);
    let picture = rig.picture();
    assert!(picture.contains("Lint") && picture.contains("2 error") && picture.contains("1 info"), "{picture}");
    rig.press("j enter");
    assert_eq!(shown(&rig), [1190, 1192]);
    assert_eq!(rig.model.list().filter.as_ref().unwrap().0, "~lint ^tool-result$");
}
