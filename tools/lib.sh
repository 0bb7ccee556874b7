# SPDX-License-Identifier: Apache-2.0
#
# What the tools share: sourced first, with their name in $tool.

# say_help "$@": a user who asks for help gets the head comment of the tool, and nothing is fetched,
# built or started. A tool that has a --help of its own in Python calls ask_help instead.
asks_for_help() {
	for word; do
		case $word in
		--) return 1 ;;
		-h | --help | help) return 0 ;;
		esac
	done
	return 1
}

say_help() {
	if asks_for_help "$@"; then
		sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"
		exit 0
	fi
}

need_python() {
	command -v python3 >/dev/null || {
		echo "$0: python3 is missing; install it: sudo apt-get update && sudo apt-get install -y python3" >&2
		exit 1
	}
}

# ask_help PROGRAM "$@"
ask_help() {
	program=$1
	shift
	need_python
	if asks_for_help "$@"; then
		exec python3 "$program" --help
	fi
}
