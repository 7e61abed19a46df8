#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::BUILT_IN_POLICY;

#[test]
fn the_built_in_policy_says_its_world() {
    let inspected = Inspection::of(BUILT_IN_POLICY).unwrap();
    let version = inspected.version_of("larder:cache").unwrap();
    assert!(inspected.exports.contains(&format!("larder:cache/handler@{version}")), "{inspected:?}");
    assert!(inspected.imports.contains(&format!("larder:cache/storage@{version}")), "{inspected:?}");
    assert_eq!(inspected.version_of("larder:rules"), None);
}

#[test]
fn what_is_no_component_is_said() {
    let module = b"\0asm\x01\0\0\0";
    assert!(matches!(Inspection::of(module), Err(NotAComponent::Module(_))));
    assert!(matches!(Inspection::of(b"text"), Err(NotAComponent::Other(_))));
    assert!(matches!(Inspection::of(&BUILT_IN_POLICY[..1000]), Err(NotAComponent::Other(_))));
}
