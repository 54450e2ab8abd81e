use super::{client::Client, fixture::Fixture};
use countersign_protocol::wire;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore]
async fn bench() {
    let fixture = Fixture::start("bench").await;
    { let p = fixture.policy.clone(); tokio::spawn(async move { loop { p.seen(tokio::time::Instant::now()); tokio::time::sleep(std::time::Duration::from_millis(200)).await; } }); }
    // junk, pipelined by 32, 4 connections
    let body = vec![0x80u8; 4400];
    let one = [
        format!("POST /v1/attest HTTP/1.1\r\nhost: proxy\r\ncontent-length: {}\r\n\r\n", body.len())
            .as_bytes(),
        &body,
    ]
    .concat();
    for (name, one) in [
        ("junk-4400", one),
        ("junk-4", b"POST /v1/attest HTTP/1.1\r\nhost: proxy\r\ncontent-length: 4\r\n\r\njunk".to_vec()),
    ] {
        let batch = one.repeat(16);
        let mut tasks = vec![];
        let t = Instant::now();
        let cpu = cpu_us();
        for _ in 0..4 {
            let mut client = Client::connect(&fixture, "payments-v1").await;
            let batch = batch.clone();
            tasks.push(tokio::spawn(async move {
                let mut buf = vec![0; 65536];
                let mut unit = 0usize;
                for _ in 0..400 {
                    client.stream.write_all(&batch).await.unwrap();
                    client.stream.flush().await.unwrap();
                    let mut seen = 0;
                    while seen < 16 {
                        let n = client.stream.read(&mut buf).await.unwrap();
                        assert!(n > 0);
                        seen += buf[..n].windows(13).filter(|w| w == b"HTTP/1.1 400 ").count();
                        unit += n;
                    }
                }
                unit
            }));
        }
        for t in tasks {
            t.await.unwrap();
        }
        let n = 4 * 400 * 16;
        eprintln!(
            "{name}: {:.0}/s wall, cpu both sides {:.1} us each",
            n as f64 / t.elapsed().as_secs_f64(),
            (cpu_us() - cpu) as f64 / n as f64
        );
    }
    for conc in [1usize, 8] {
        let mut tasks = vec![];
        let per = 800u64;
        let mut clients = vec![];
        for i in 0..conc {
            let mut c = Client::connect(&fixture, "payments-v1").await;
            c.boot_id = countersign_protocol::BootId::from_bytes([i as u8; 16]);
            c.attest(1).await.unwrap();
            clients.push(c);
        }
        let t = Instant::now();
        let cpu = cpu_us();
        for mut client in clients {
            tasks.push(tokio::spawn(async move {
                let mut lat = vec![];
                let mut sign = 0u128;
                for s in 2..per + 2 {
                    let a = Instant::now();
                    let challenge = client.challenge().await;
                    let c1 = a.elapsed();
                    let b = Instant::now();
                    let document = client.sign(&client.request(&challenge.nonce, s));
                    sign += b.elapsed().as_micros();
                    let body = client.body(&document, s);
                    let a = Instant::now();
                    let answer = client.post(wire::ATTEST_PATH, &body).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    lat.push((c1 + a.elapsed()).as_micros());
                }
                (lat, sign)
            }));
        }
        let mut lat = vec![];
        let mut sign = 0;
        for t in tasks {
            let (l, s) = t.await.unwrap();
            lat.extend(l);
            sign += s;
        }
        lat.sort();
        let n = lat.len();
        eprintln!(
            "attest conc {conc}: {:.0}/s wall, p50 {} p99 {} us, client sign {} us each, cpu all {:.0} us each",
            n as f64 / t.elapsed().as_secs_f64(),
            lat[n / 2],
            lat[n * 99 / 100],
            sign as usize / n,
            (cpu_us() - cpu) as f64 / n as f64
        );
    }
}
fn cpu_us() -> u64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<u64>().unwrap() + f[12].parse::<u64>().unwrap()) * 10_000
}
