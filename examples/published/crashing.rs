//! `moved.rs` with a panic beside its server, which comes when there is a byte to be read. Then it says what is left.

include!(concat!(env!("OUT_DIR"), "/moved_without_main.rs"));

fn main() {
    pleach::actor::enter(|| {});
    let ended = pleach::actor::run(pleach::host::Smol::one_thread(), || async {
        let threads = threads();
        let error = foreign(Tokio::threads(2), async |tk| {
            pleach::nursery(async |n| {
                let server = tk.clone();
                n.spawn(async move { server.run(async || Ok(spawn_socks_server().await?)).await })?;
                tk.run(async || panics().await).await
            })
            .await
        })
        .await
        .unwrap_err();
        println!("{error}");
        let (more, stragglers) = (self::threads() - threads, pleach_bridge::stragglers());
        println!(
            "left: {more} threads, {} TCP sockets, {stragglers} stragglers",
            tcp_sockets()
        );
        Ok(())
    });
    ended.expect("the panic was all that went wrong");
}

/// Plain tokio code.
async fn panics() -> pleach::Result<()> {
    task::spawn_blocking(|| std::io::Read::read_exact(&mut std::io::stdin(), &mut [0])).await??;
    panic!("it was asked to crash")
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

fn tcp_sockets() -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux");
    let inodes: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(9))
        .collect();
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
    let links = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    links
        .filter(|link| {
            inodes
                .iter()
                .any(|inode| link.as_os_str() == &*format!("socket:[{inode}]"))
        })
        .count()
}
