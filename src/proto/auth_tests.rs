use super::*;
use crate::proto::key::KEY;

fn key(byte: u8) -> Key {
    Key::take(&mut [byte; KEY])
}

fn acceptor(key: &Key) -> Acceptor {
    Acceptor::new(key, Purpose::Data, [0xAC; NONCE])
}

fn initiator(key: &Key) -> (Initiator, Vec<u8>) {
    Initiator::new(key, Purpose::Data, [0x17; NONCE])
}

fn sent(step: Result<Step, AuthError>) -> Vec<u8> {
    match step {
        Ok(Step::Send(bytes)) => bytes,
        other => panic!("it sends nothing: {other:?}"),
    }
}

/// What the initiator makes of these bytes, given in pieces.
fn hears(initiator: &mut Initiator, bytes: &[u8], piece: usize) -> Result<Step, AuthError> {
    let mut rest = bytes;
    loop {
        let taken = rest.len().min(piece).min(initiator.wants());
        let step = initiator.receive(&rest[..taken])?;
        rest = &rest[taken..];
        if step != Step::Read || rest.is_empty() {
            return Ok(step);
        }
    }
}

/// The four messages of a talk that goes well.
fn talk(key: &Key) -> [Vec<u8>; 4] {
    let (mut initiator, hello) = initiator(key);
    let mut acceptor = acceptor(key);
    let answer = sent(acceptor.receive(&hello));
    let proof = sent(hears(&mut initiator, &answer, 1000));
    let welcome = sent(acceptor.receive(&proof));
    assert_eq!(hears(&mut initiator, &welcome, 1000), Ok(Step::Done));
    assert!(acceptor.is_done() && acceptor.wants() == 0 && initiator.wants() == 0);
    [hello, answer, proof, welcome]
}

#[test]
fn x02_two_ends_with_one_key_know_each_other() {
    let all = talk(&key(1));
    assert_eq!(all.each_ref().map(Vec::len), [HELLO, ANSWER, PROOF, HEADER]);
}

#[test]
fn x05_before_the_key_is_proven_all_messages_are_small_and_of_one_size() {
    let all = talk(&key(1));
    assert!(all.iter().all(|message| message.len() <= 1024) && all.concat().len() <= 4096);
    let mut acceptor = acceptor(&key(1));
    assert_eq!(acceptor.receive(&[0; HELLO + 1]), Err(AuthError::TooMuch));
}

#[test]
fn x02_another_key_is_noticed_by_both_ends() {
    let (mut initiator, hello) = initiator(&key(1));
    let mut stranger = acceptor(&key(2));
    let answer = sent(stranger.receive(&hello));
    assert_eq!(hears(&mut initiator, &answer, 1000), Err(AuthError::Key));

    let [_, _, proof, _] = talk(&key(2));
    let mut acceptor = acceptor(&key(1));
    sent(acceptor.receive(&hello));
    assert_eq!(acceptor.receive(&proof), Err(AuthError::Key));
    assert!(!acceptor.is_done());
}

#[test]
fn x02_what_was_said_in_another_talk_is_no_proof() {
    let key = key(1);
    let [hello, answer, proof, _] = talk(&key);
    let mut acceptor = Acceptor::new(&key, Purpose::Data, [0xAD; NONCE]);
    sent(acceptor.receive(&hello));
    assert_eq!(acceptor.receive(&proof), Err(AuthError::Key), "a replayed proof");
    let (mut initiator, _) = Initiator::new(&key, Purpose::Data, [0x18; NONCE]);
    assert_eq!(hears(&mut initiator, &answer, 1000), Err(AuthError::Key), "a replayed answer");
}

#[test]
fn x02_what_one_side_says_is_no_proof_of_the_other() {
    let key = key(1);
    // An acceptor whose own words come back, and one that is given another acceptor's.
    let (_, hello) = initiator(&key);
    let mut acceptor = acceptor(&key);
    let answer = sent(acceptor.receive(&hello));
    let mut reflected = header(Message::Proof, Purpose::Data).to_vec();
    reflected.extend_from_slice(&answer[HEADER + NONCE..]);
    assert_eq!(acceptor.receive(&reflected), Err(AuthError::Key));
    // An initiator that is connected to itself.
    let (mut initiator, hello) = initiator_again(&key);
    assert_eq!(hears(&mut initiator, &hello, 1000), Err(AuthError::Foreign));
}

fn initiator_again(key: &Key) -> (Initiator, Vec<u8>) {
    Initiator::new(key, Purpose::Data, [0x19; NONCE])
}

#[test]
fn x02_a_talk_for_one_purpose_is_of_no_use_for_another() {
    let key = key(1);
    let (_, hello) = initiator(&key);
    let mut other = Acceptor::new(&key, Purpose::Join, [1; NONCE]);
    assert_eq!(other.receive(&hello), Err(AuthError::Foreign));
}

#[test]
fn x07_another_major_version_is_refused_before_the_key_is_used() {
    let (_, mut hello) = initiator(&key(1));
    hello[4] += 1;
    assert_eq!(acceptor(&key(1)).receive(&hello), Err(AuthError::Foreign));
}

#[test]
fn x02_every_flipped_bit_is_noticed() {
    let key = key(1);
    let [hello, answer, proof, _] = talk(&key);
    for bit in 0..HELLO * 8 {
        let mut acceptor = acceptor(&key);
        let step = acceptor.receive(&flipped(&hello, bit));
        let accepted = step.is_ok() && acceptor.receive(&proof).is_ok();
        assert!(!accepted, "bit {bit} of the hello");
    }
    for bit in 0..ANSWER * 8 {
        let (mut initiator, _) = initiator(&key);
        let heard = hears(&mut initiator, &flipped(&answer, bit), 1000);
        assert!(heard.is_err(), "bit {bit} of the answer");
    }
    for bit in 0..PROOF * 8 {
        let mut acceptor = acceptor(&key);
        sent(acceptor.receive(&hello));
        assert!(acceptor.receive(&flipped(&proof, bit)).is_err(), "bit {bit} of the proof");
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

#[test]
fn x02_a_talk_that_is_cut_anywhere_lets_nobody_in() {
    let key = key(1);
    let [hello, answer, proof, welcome] = talk(&key);
    let said = [hello, proof].concat();
    for cut in 0..said.len() {
        let mut acceptor = acceptor(&key);
        for byte in &said[..cut] {
            acceptor.receive(&[*byte]).unwrap();
        }
        assert!(!acceptor.is_done() && acceptor.wants() > 0, "cut at {cut}");
    }
    let said = [answer, welcome].concat();
    for cut in 0..said.len() {
        let (mut initiator, _) = initiator(&key);
        for byte in &said[..cut] {
            assert_ne!(initiator.receive(&[*byte]), Ok(Step::Done), "cut at {cut}");
        }
        assert!(initiator.wants() > 0, "cut at {cut}");
    }
}

#[test]
fn x02_a_talk_in_any_pieces_is_the_same() {
    let key = key(1);
    let [hello, answer, proof, welcome] = talk(&key);
    for piece in 1..=ANSWER {
        let (mut initiator, _) = initiator(&key);
        assert_eq!(hears(&mut initiator, &answer, piece), Ok(Step::Send(proof.clone())), "in pieces of {piece}");
        assert_eq!(hears(&mut initiator, &welcome, piece), Ok(Step::Done));
        let mut acceptor = acceptor(&key);
        let steps: Vec<_> =
            [&hello, &proof].into_iter().flat_map(|m| m.chunks(piece)).map(|part| acceptor.receive(part)).collect();
        assert!(steps.iter().all(Result::is_ok) && acceptor.is_done());
    }
}

#[test]
fn x05_a_refusal_says_nothing_but_that() {
    let bytes = refusal(Purpose::Join);
    assert_eq!(bytes, [b'p', b'l', b'c', b'h', 1, 5, 2, 0]);
    let (mut initiator, _) = initiator(&key(1));
    assert_eq!(hears(&mut initiator, &refusal(Purpose::Data), 3), Err(AuthError::Refused), "as the first answer");
    let [_, answer, ..] = talk(&key(1));
    let (mut initiator, _) = self::initiator(&key(1));
    sent(hears(&mut initiator, &answer, 1000));
    assert_eq!(hears(&mut initiator, &refusal(Purpose::Data), 8), Err(AuthError::Refused), "and as the last one");
}
