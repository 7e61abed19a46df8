//! How many streams there may be.

use super::*;

#[test]
fn a_key_has_some_all_keys_have_more_and_what_ends_gives_its_place_back() {
    let places = Places::default();
    let mut held: Vec<_> = (0..OF_A_KEY).map(|_| places.take("a")).collect();
    assert!(held.iter().all(Option::is_some) && places.take("a").is_none());
    held.pop();
    assert!(places.take("a").is_some(), "the one that was just taken is given back, too");
    let others: Vec<_> = (0..IN_ALL).map(|number| places.take(&format!("b{number}"))).collect();
    assert_eq!(others.iter().flatten().count(), IN_ALL - (OF_A_KEY - 1));
    assert!(places.take("c").is_none());
    drop((held, others));
    assert!(places.take("c").is_some() && places.0.lock().is_empty());
}
