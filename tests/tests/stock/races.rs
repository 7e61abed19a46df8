//! Many clients at once.

use larder_tests::{StockOptions, StockServer};

use super::{
    client::{Client, pattern},
    directory,
};

/// Rounds in which many clients want one slot.
const ROUNDS: usize = 12;
const CLIENTS: usize = 16;

/// Many save one key at once, others look it up: one wins, and whoever finds it has its whole
/// content. With an instance for each request, all of them race through the file system.
#[tokio::test]
async fn of_many_who_save_one_key_one_wins_and_readers_see_all_of_it() {
    for arguments in [&[][..], &["--max-instance-reuse-count", "1"]] {
        let data = directory();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let options = StockOptions { arguments, ..StockOptions::default() };
        let server = StockServer::start(data.path(), &options);
        for round in 0..ROUNDS {
            let key = format!("key-{round}");
            let clients = (0..CLIENTS).map(|number| {
                let (client, key) = (Client::of(&server), key.clone());
                tokio::spawn(async move {
                    if number % 4 == 3 {
                        return (false, client.restore(&key).await);
                    }
                    let content = pattern(40_000, number as u64);
                    (client.try_save(&key, &content, number % 3).await.is_ok(), None)
                })
            });
            let mut outcomes = Vec::new();
            for client in clients.collect::<Vec<_>>() {
                outcomes.push(client.await.unwrap());
            }
            let winners: Vec<usize> = (0..CLIENTS).filter(|number| outcomes[*number].0).collect();
            assert_eq!(winners.len(), 1, "round {round}");
            let content = pattern(40_000, winners[0] as u64);
            for (_, seen) in outcomes {
                assert!(seen.is_none_or(|seen| seen == content), "a reader saw something else");
            }
            assert_eq!(Client::of(&server).restore(&key).await.unwrap(), content);
        }
    }
}

/// Of entries that are saved one after the other, the last one is the newest with their prefix, over
/// all instances.
#[tokio::test]
async fn the_last_one_saved_is_the_newest() {
    let data = directory();
    let arguments = ["--max-instance-reuse-count", "1"].map(str::to_owned).to_vec();
    let server = StockServer::start(data.path(), &StockOptions { arguments, ..StockOptions::default() });
    let client = Client::of(&server);
    for number in 0..12 {
        let key = format!("p-{number}");
        client.save(&key, key.as_bytes()).await;
        assert_eq!(client.found("none", &["p-"]).await["matched_key"], key.as_str());
    }
}
