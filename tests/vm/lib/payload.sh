# shellcheck shell=bash
# Programs for a guest, with the libraries that they need. Needs lib/common.sh, WORK and PAYLOAD.

# add_library SONAME: a library that a program loads when it runs, with what that is linked with. 1: not here.
add_library() {
	local path line
	path=$(ldconfig -p | awk -v so="$1" '!n && $1 == so && /x86-64/ {print $NF; n = 1}')
	[[ $path ]] || return 1
	cp -L "$path" "$PAYLOAD/lib/$1"
	while read -r line; do
		[[ $line == *" => /"* && ! -e $PAYLOAD/lib/${line%% *} ]] || continue
		path=${line#* => }
		cp -L "${path%% (*}" "$PAYLOAD/lib/${line%% *}"
	done < <(ldd "$path")
}

# add_program PATH [NAME]: the program, the libraries that it is linked with, and the loader.
add_program() {
	local path=$1 name=${2:-${1##*/}} line library
	install -m 755 "$path" "$PAYLOAD/bin/$name"
	# A static program has no list.
	LD_LIBRARY_PATH=$(tools_libs) ldd "$path" >"$WORK/ldd" 2>/dev/null || return 0
	while read -r line; do
		case $line in
		*"not found"*) die "$path: $line" ;;
		*" => /"*)
			library=${line#* => }
			library=${library%% (*}
			[[ -e $PAYLOAD/lib/${line%% *} ]] || cp -L "$library" "$PAYLOAD/lib/${line%% *}"
			;;
		/*)
			library=${line%% (*}
			cp -L "$library" "$PAYLOAD/lib64/${library##*/}"
			;;
		esac
	done <"$WORK/ldd"
}
