//! Values, time, and wakes from other threads; several guests beside each other.

use super::*;

pub(crate) fn l27_values_go_both_ways_between_callbacks_and_the_guest<H: Host>() {
    /// A callback that takes an answer, and sends the next question.
    fn callback(answers: &Mutex<Vec<u32>>, questions: &channel::Sender<u32>, answer: u32) {
        let mut answers = answers.lock().unwrap();
        answers.push(answer);
        match answers.len() {
            101 => questions.close(),
            count => questions.try_send(count as u32).expect("the last one was taken"),
        }
    }
    let stage = Stage::<H>::new();
    let (questions, mut asked) = channel::bounded(1);
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (post, shared) = (stage.host.post(), (answers.clone(), questions.clone()));
    let guest = stage.start(async move {
        let mut count = 0;
        while let Some(number) = asked.recv().await? {
            count += 1;
            let (answers, questions) = shared.clone();
            post(Box::new(move || callback(&answers, &questions, 2 * number)));
        }
        Ok::<_, Error>(count)
    });
    let first = answers.clone();
    stage.call(move || callback(&first, &questions, 0));
    assert_eq!(guest.outcome(&stage).unwrap().unwrap(), 100);
    assert_eq!(*answers.lock().unwrap(), (0..=100).map(|number| 2 * number).collect::<Vec<u32>>());
}

pub(crate) fn l27_a_timer_wakes_the_guest<H: Host>() {
    let stage = Stage::<H>::new();
    let start = Instant::now();
    let guest = stage.start(async {
        for _ in 0..3 {
            sleep(ms(10)).await?;
        }
        Ok::<_, Error>(())
    });
    guest.outcome(&stage).unwrap().unwrap();
    assert!(start.elapsed() >= ms(30), "{:?}", start.elapsed());
    assert!(stage.ticks() <= 8, "{} ticks for three timers", stage.ticks());
}

pub(crate) fn l27_other_threads_wake_the_guest<H: Host>() {
    const COUNT: u32 = 300;
    let stage = Stage::<H>::new();
    let ((sender, mut from_thread), (to_thread, mut receiver)) = (channel::bounded(1), channel::bounded(1));
    let sends = thread::spawn(move || {
        futures_lite::future::block_on(async {
            for number in 0..COUNT {
                sender.send(number).await.expect("the guest takes all");
            }
        });
    });
    let takes = thread::spawn(move || {
        futures_lite::future::block_on(async {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await.expect("nothing cancels it") {
                sum += number;
            }
            sum
        })
    });
    let guest = stage.start(async move {
        while let Some(number) = from_thread.recv().await? {
            to_thread.send(number).await?;
        }
        Ok::<_, Error>(())
    });
    guest.outcome(&stage).unwrap().unwrap();
    sends.join().unwrap();
    assert_eq!(takes.join().unwrap(), (0..COUNT).sum::<u32>());
}

pub(crate) fn l27_several_guests_on_one_host<H: Host>() {
    const GUESTS: usize = 5;
    let stage = Stage::<H>::new();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..GUESTS).map(|_| channel::bounded(1)).unzip();
    let guests: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(place, mut receiver)| {
            let next = senders[(place + 1) % GUESTS].clone();
            stage.start(async move {
                let mut turns = 0;
                while let Some(token) = receiver.recv().await? {
                    turns += 1;
                    if token == 100 * GUESTS {
                        receiver.close();
                        break;
                    }
                    next.send(token + 1).await?;
                }
                next.close();
                Ok::<_, Error>(turns)
            })
        })
        .collect();
    stage.call(move || senders[0].try_send(1).expect("nobody has sent"));
    for guest in guests {
        assert_eq!(guest.outcome(&stage).unwrap().unwrap(), 100);
    }
}

pub(crate) fn l27_the_root_and_its_tasks_stay_on_their_thread<H: Host>() {
    let stage = Stage::<H>::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (mine, home) = (seen.clone(), thread::current().id());
    let guest = stage.start(local_nursery(async move |n| {
        for after in [3, 1, 2] {
            let mine = mine.clone();
            n.spawn(async move {
                sleep(ms(after)).await?;
                assert_eq!(thread::current().id(), home);
                mine.borrow_mut().push(after);
                Ok(())
            })?;
        }
        Ok(())
    }));
    guest.outcome(&stage).unwrap().unwrap();
    seen.borrow_mut().sort_unstable();
    assert_eq!(*seen.borrow(), [1, 2, 3]);
}
