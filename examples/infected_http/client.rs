//! The client: plain reqwest in the tasks of an actor that tokio hosts.

use std::fmt;
use std::net::SocketAddr;

use pleach::prelude::*;
use reqwest::{Client, StatusCode};

/// Gets all of them at once.
#[pleach::endpoint]
pub(crate) async fn get(address: SocketAddr, paths: Vec<String>) -> Result<Vec<(u16, String)>> {
    let client = Client::new();
    nursery(async |n| {
        let started = paths.iter().map(|path| n.spawn(fetch(&client, address, path)));
        let mut answers = Vec::new();
        for answer in started.collect::<Result<Vec<_>>>()? {
            let (status, body) = answer.join().await?;
            answers.push((status.as_u16(), body));
        }
        Ok(answers)
    })
    .await
}

async fn fetch(client: &Client, address: SocketAddr, path: &str) -> Result<(StatusCode, String)> {
    let response = client.get(format!("http://{address}{path}")).send().await?;
    Ok((response.status(), response.text().await?))
}

/// Asks for the factors of many numbers, over so many connections at once. Counts the right answers, and the errors
/// that name a killed worker; any other answer is an error.
#[pleach::endpoint]
pub(crate) async fn load(address: SocketAddr, requests: u64, connections: u64) -> Result<(u64, u64)> {
    nursery(async |n| {
        let started = (0..connections)
            .map(|first| n.spawn(one_connection(address, (first..requests).step_by(connections as usize))));
        let (mut right, mut killed) = (0, 0);
        for connection in started.collect::<Result<Vec<_>>>()? {
            let counted = connection.join().await?;
            right += counted.0;
            killed += counted.1;
        }
        Ok((right, killed))
    })
    .await
}

async fn one_connection(address: SocketAddr, rounds: impl Iterator<Item = u64>) -> Result<(u64, u64)> {
    let client = Client::new();
    let (mut right, mut killed) = (0, 0);
    for round in rounds {
        let n = 2 + round * 7_919 % 1_000_000;
        match fetch(&client, address, &format!("/prime/{n}")).await? {
            (StatusCode::OK, body) if is_right(n, &body) => right += 1,
            (StatusCode::INTERNAL_SERVER_ERROR, body) if names_a_kill(&body) => killed += 1,
            (status, body) => Err(Wrong { n, status, body })?,
        }
    }
    Ok((right, killed))
}

/// Whether these are primes, and multiply to `n`: then they are its factors.
fn is_right(n: u64, body: &str) -> bool {
    let Some(factors) = body.strip_prefix(&format!("{n} = ")) else { return false };
    let factors: Vec<u64> = factors.split(" * ").filter_map(|factor| factor.parse().ok()).collect();
    let is_prime = |p: &u64| *p > 1 && (2..*p).take_while(|d| d * d <= *p).all(|d| !p.is_multiple_of(d));
    factors.iter().product::<u64>() == n && factors.iter().all(is_prime)
}

fn names_a_kill(body: &str) -> bool {
    body.contains("root/server/worker-") && body.contains("SIGKILL")
}

#[derive(Debug)]
struct Wrong {
    n: u64,
    status: StatusCode,
    body: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asked for the factors of {}, and got {}: {}", self.n, self.status, self.body)
    }
}

impl std::error::Error for Wrong {}
