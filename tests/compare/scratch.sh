# Read by the scripts that install a project twice, with $peer and with $pacquet: the folders for it, in
# SCRATCH or a new temporary directory, and what is taken away at the end. $mounted is the copy that is
# served now, $name that of the project.
scratch=${SCRATCH:-$(mktemp -d)}
mkdir -p "$scratch/run" && chmod 700 "$scratch/run" || exit 2
mounted=
clean() {
  [ -z "$mounted" ] || "$pacquet" unmount -C "$mounted" >/dev/null
  mounted=
  rm -rf "$scratch/$peer/${name:-none}" "$scratch/pacquet/${name:-none}"
  [ -n "${SCRATCH:-}" ] || rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 130' INT TERM
export XDG_RUNTIME_DIR="$scratch/run"
export PACQUET_STORE_DIR="$scratch/store-pacquet" PACQUET_CACHE_DIR="$scratch/cache-pacquet"
