//! The shell, and how arguments become words of it.

use std::borrow::Cow;

/// `script` with `arguments` behind it, each as one word.
pub fn with_arguments(script: &str, arguments: &[String]) -> String {
    let mut out = script.to_owned();
    for argument in arguments {
        out.push(' ');
        out.push_str(&quoted(argument));
    }
    out
}

/// `text` as one word of a POSIX shell.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', "'\"'\"'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_shell_as_they_are() {
        let arguments = ["a", "b c", "d'e", "$x", "*", "", "--f=1", "ü"];
        let script = with_arguments("printf '%s|'", &arguments.map(str::to_owned));
        assert_eq!(
            script,
            r#"printf '%s|' a 'b c' 'd'"'"'e' '$x' '*' '' --f=1 'ü'"#
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("{}|", arguments.join("|")));
    }
}
