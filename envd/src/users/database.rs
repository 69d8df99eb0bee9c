//! The lines of `/etc/passwd` and `/etc/group`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::{fs, io};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A line of `/etc/passwd` (passwd(5)). A home that is no absolute path counts as `/`, an empty shell as `/bin/sh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary one included, as `initgroups` would set them.
    pub groups: Vec<u32>,
    pub home: PathBuf,
    pub shell: String,
}

/// Finds a user by name.
pub fn find(name: &str) -> io::Result<Option<User>> {
    let Some(mut user) = lines(PASSWD)?.lines().filter_map(parse_user).find(|user| user.name == name) else {
        return Ok(None);
    };
    let groups = lines(GROUP)?;
    user.groups.extend(memberships(&groups, name).filter(|gid| *gid != user.gid));
    Ok(Some(user))
}

/// Names by number, for listings; read once per request.
pub struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Reads both files; of several names for one number the first counts. Names that cannot be read are
    /// missing. Blocks.
    pub fn load() -> Self {
        // A listing is still true without names, so unreadable files only cost the names.
        let passwd = lines(PASSWD).unwrap_or_default();
        let group = lines(GROUP).unwrap_or_default();
        let mut users = HashMap::new();
        for user in passwd.lines().filter_map(parse_user) {
            users.entry(user.uid).or_insert(user.name);
        }
        let mut groups = HashMap::new();
        for (name, gid, _) in group.lines().filter_map(parse_group) {
            groups.entry(gid).or_insert_with(|| name.to_owned());
        }
        Self { users, groups }
    }

    /// The user's name, or the number in decimal when it has none.
    pub fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// The group's name, or the number in decimal when it has none.
    pub fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}

fn lines(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        // An image without the file has no such users, which is an answer and not a failure.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _password, uid, gid, _comment, home, shell] = fields[..] else {
        return None;
    };
    let gid = gid.parse().ok()?;
    Some(User {
        name: (!name.is_empty()).then(|| name.to_owned())?,
        uid: uid.parse().ok()?,
        gid,
        groups: vec![gid],
        home: PathBuf::from(if home.starts_with('/') { home } else { "/" }),
        shell: if shell.is_empty() { "/bin/sh".into() } else { shell.to_owned() },
    })
}

fn parse_group(line: &str) -> Option<(&str, u32, &str)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _password, gid, members] = fields[..] else {
        return None;
    };
    Some((name, gid.parse().ok()?, members))
}

fn memberships<'a>(groups: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    let member = move |members: &str| members.split(',').any(|name| name.trim() == user);
    groups.lines().filter_map(parse_group).filter(move |(_, _, members)| member(members)).map(|(_, gid, _)| gid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_passwd_line() {
        let user = parse_user("user:x:1000:1001:,,,:/home/user:/bin/bash").expect("user");
        assert_eq!((user.uid, user.gid), (1000, 1001));
        assert_eq!(user.groups, [1001]);
        assert_eq!(user.home, PathBuf::from("/home/user"));
        assert_eq!(user.shell, "/bin/bash");
    }

    #[test]
    fn fills_empty_fields_as_login_does() {
        let user = parse_user("svc:x:7:7:::").expect("user");
        assert_eq!(user.home, PathBuf::from("/"));
        assert_eq!(user.shell, "/bin/sh");
    }

    #[test]
    fn skips_lines_that_are_not_users() {
        for line in ["", "# comment", "+::::::", ":x:0:0::/:/bin/sh", "a:x:-1:0::/:/bin/sh", "a:x:0:0"] {
            assert_eq!(parse_user(line), None, "{line}");
        }
    }

    #[test]
    fn collects_supplementary_groups() {
        let groups = "root:x:0:\nsudo:x:27:user,other\nbad\nusers:x:100:another\ndocker:x:999: user";
        assert_eq!(memberships(groups, "user").collect::<Vec<_>>(), [27, 999]);
    }

    #[test]
    fn finds_root_and_reports_the_unknown() {
        assert_eq!(find("root").expect("passwd").expect("root").uid, 0);
        assert_eq!(find("no-such-user").expect("passwd"), None);
        assert_eq!(Names::load().user(0), "root");
        assert_eq!(Names::load().user(4_000_000_000), "4000000000");
    }

    proptest! {
        #[test]
        fn a_user_is_what_the_line_says(name in "[a-z_][a-z0-9_-]{0,31}", uid: u32, gid: u32, home in "/[^:]{0,20}") {
            let user = parse_user(&format!("{name}:x:{uid}:{gid}:,,,:{home}:/bin/sh")).expect("user");
            prop_assert_eq!((user.name, user.uid, user.gid, user.home), (name, uid, gid, PathBuf::from(home)));
        }

        #[test]
        fn no_line_panics(near in "([a-z:,0-9+ -]|\\PC){0,40}", any: String) {
            for line in [near, any] {
                let _user = parse_user(&line);
                let _group = memberships(&line, "user").count();
            }
        }
    }
}
