//! `completion`: scripts for shells, and the words that they ask for.

mod answer;

use clap::{CommandFactory, ValueEnum as _};
use clap_complete::Shell;

use crate::cli::arguments::Arguments;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::name::escaped;

pub(in crate::cli) use answer::answer;

/// Bash splits words at colons and equals signs, which names of scripts have; so the line is split
/// here, and what bash has of the word already is taken off the answers.
const BASH: &str = r#"_pacquet() {
  local line="${COMP_LINE:0:COMP_POINT}" word answer
  local -a words
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  word="${words[${#words[@]}-1]}"
  COMPREPLY=()
  while IFS= read -r answer; do
    COMPREPLY+=("${answer#"${word%"${word##*[:=]}"}"}")
  done < <(pacquet completion-server -- "${words[@]}" 2>/dev/null)
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -F _pacquet pacquet
"#;

const ZSH: &str = r#"#compdef pacquet
_pacquet() {
  local -a answers
  answers=(${(f)"$(pacquet completion-server -- "${(@)words[1,CURRENT]}" 2>/dev/null)"})
  compadd -S '' -a -- ${(M)answers:#*/} 2>/dev/null
  compadd -- ${answers:#*/}
}
compdef _pacquet pacquet
"#;

const FISH: &str = r#"function __pacquet_words
  set -l current (commandline -ct)
  pacquet completion-server -- (commandline -opc) "$current" 2>/dev/null
end
complete -c pacquet -f -a "(__pacquet_words)"
"#;

pub(in crate::cli) fn run(shell: Option<&str>) -> Result<(), Failure> {
    let name = shell.ok_or_else(|| {
        Failure::new(
            "ERR_PNPM_MISSING_SHELL_NAME",
            "`pacquet completion` requires a shell name",
            Some("for example: `pacquet completion bash`"),
        )
    })?;
    let known = if name == "pwsh" { "powershell" } else { name };
    let shell = Shell::from_str(known, false).map_err(|_| {
        Failure::new(
            "ERR_PNPM_UNSUPPORTED_SHELL",
            format!("'{}' is not supported", escaped(name)),
            Some("Supported shells are: bash, fish, pwsh, zsh, elvish"),
        )
    })?;
    match shell {
        Shell::Bash => print(BASH),
        Shell::Zsh => print(ZSH),
        Shell::Fish => print(FISH),
        // These two complete commands and flags, and nothing of the project.
        _ => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "pacquet", &mut script);
            print(&String::from_utf8_lossy(&script));
        }
    }
    Ok(())
}
