use super::*;
use crate::holder::channel;

fn heard(socket: &OwnedFd) -> ToHolder {
    message::receive(socket.as_fd()).expect("received").expect("message").0
}

#[tokio::test]
async fn a_new_agent_gets_what_the_last_one_left_and_is_told_what_ends() {
    let (ours, theirs) = channel::pair().expect("pair");
    let (record, file) = Record::create(b"described").expect("record");
    let state = memory::file(c"state", b"state").expect("file");
    let kept = ToAgent::Kept { id: 4, pid: 12, roles: vec![Role::Record], end: None };
    message::send(ours.as_fd(), &kept, &[file.as_fd()]).expect("sent");
    // None of these is one, and none keeps the others away.
    channel::send(ours.as_fd(), b"not JSON", &[]).expect("sent");
    let bare = ToAgent::Kept { id: 5, pid: 13, roles: Vec::new(), end: None };
    message::send(ours.as_fd(), &bare, &[]).expect("sent");
    message::send(ours.as_fd(), &ToAgent::State, &[state.as_fd()]).expect("sent");
    message::send(ours.as_fd(), &ToAgent::Ready, &[]).expect("sent");

    let Legacy { holder, mut processes, state } = connect(theirs).expect("connected");
    assert_eq!(state.expect("state").bytes(), b"state");
    assert_eq!(heard(&ours), ToHolder::Forget { id: 5 });
    let process = processes.pop().expect("process");
    assert_eq!((process.pid, process.description.as_slice()), (12, b"described".as_slice()));
    message::send(ours.as_fd(), &ToAgent::Ended { id: 4, end: End::Status(9) }, &[]).expect("sent");
    let status = process.end.wait(&record).await.expect("status");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    drop(process.kept);
    assert_eq!(heard(&ours), ToHolder::Forget { id: 4 });

    let (kept, _record) = holder.keep(14, &"next", &[]).expect("kept");
    assert_eq!(heard(&ours), ToHolder::Keep { id: 6, pid: 14, roles: vec![Role::Record] });
    let kept = Arc::new(kept);
    drop(kept.file(Role::Stdin));
    assert_eq!(heard(&ours), ToHolder::Close { id: 6, role: Role::Stdin });
    holder.serving().await.expect("sent");
    assert_eq!(heard(&ours), ToHolder::Serving);
}
