//! Promises on the identity.

use futures_util::future;

use super::Fixture;

/// Fault 14.
pub(crate) async fn an_identity_is_given_once_and_kept(mut fixture: impl Fixture) {
    assert_eq!(fixture.storage().identity().await.unwrap(), None);
    let storage = fixture.storage();
    let given =
        future::join_all(["a", "b-1", "c"].map(|identity| storage.set_identity(identity, false))).await;
    let given: Vec<String> = given.into_iter().map(Result::unwrap).collect();
    assert!(given.iter().all(|identity| *identity == given[0]), "{given:?}");
    fixture.restart().await;
    let storage = fixture.storage();
    assert_eq!(storage.identity().await.unwrap(), Some(given[0].clone()));
    assert_eq!(storage.set_identity("another", false).await.unwrap(), given[0]);
    assert_eq!(storage.set_identity("another", true).await.unwrap(), "another");
    assert_eq!(storage.identity().await.unwrap().as_deref(), Some("another"));
    assert!(storage.list_objects(None).await.unwrap().items.is_empty(), "it is no object");
    assert!(storage.list_uploads(None).await.unwrap().items.is_empty());
}
