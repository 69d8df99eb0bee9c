use super::*;
use crate::process::record::sample;

fn by_tag(tag: &str) -> ProcessSelector {
    ProcessSelector { selector: Some(Selector::Tag(tag.into())), ..ProcessSelector::default() }
}

fn by_pid(pid: u32) -> ProcessSelector {
    ProcessSelector { selector: Some(Selector::Pid(pid)), ..ProcessSelector::default() }
}

fn end(table: &Table, process: &Process, key: &Key) {
    process.let_go();
    process.set_exited(None);
    table.retire(key, None);
}

#[test]
fn a_running_process_is_found_before_one_that_has_ended_and_the_newest_first() {
    let table = Table::new(None);
    let processes: Vec<_> = [1, 2, 3].map(|pid| sample(pid, "same")).into();
    let keys: Vec<_> = processes.iter().map(|process| table.insert(Arc::clone(process))).collect();
    let found = |selector| table.find(Some(&selector)).map(|process| process.pid).ok();
    assert_eq!(found(by_tag("same")), Some(3));
    // Ended, though its output is not all taken in.
    processes[2].let_go();
    assert_eq!(found(by_tag("same")), Some(2));
    assert_eq!(found(by_pid(3)), Some(3));
    end(&table, &processes[2], &keys[2]);
    end(&table, &processes[1], &keys[1]);
    assert_eq!(found(by_tag("same")), Some(1));
    end(&table, &processes[0], &keys[0]);
    assert_eq!((found(by_tag("same")), found(by_pid(2)), found(by_pid(4))), (Some(1), Some(2), None));
    assert!(table.list().is_empty());
    assert_eq!(table.list_ended().iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_number_that_the_kernel_gave_out_again_means_the_process_that_runs() {
    let table = Table::new(None);
    let old = sample(7, "old");
    let key = table.insert(Arc::clone(&old));
    end(&table, &old, &key);
    table.insert(sample(7, "new"));
    let found = table.find(Some(&by_pid(7))).expect("process");
    assert_eq!(found.about.tag.as_deref(), Some("new"));
    assert!(table.find(Some(&by_tag("old"))).is_ok());
}

#[test]
fn a_selector_must_say_something() {
    let fault = Table::new(None).find(None).err().expect("fault");
    assert_eq!(fault.kind, Kind::InvalidArgument);
}

#[test]
fn one_more_is_refused_when_there_are_enough() {
    let table = Table::new(None);
    let _keys: Vec<_> = (0..MAX_RUNNING).map(|_| table.insert(sample(1, "same"))).collect();
    assert_eq!(table.check_room().expect_err("full").kind, Kind::TooMany);
    let process = sample(2, "last");
    let key = table.insert(Arc::clone(&process));
    end(&table, &process, &key);
    assert_eq!(table.list().len(), MAX_RUNNING);
}
