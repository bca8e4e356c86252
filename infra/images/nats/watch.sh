# Ends a broker that only a new start will mend, so that it is started again: sh watch.sh PID FOLDER URL
#
# As shared/hearthmind/embedded/nats_watch.py does: only if the folder is no longer the one that it opened, or if the broker
# itself says three times in a row that it is not well (sixty, where it never was since its start) and there is room for
# 16 MiB. A broker that is busy, stands still or does not answer is left alone.
set -u
broker=$1 folder=$2 url=$3

has_room() {
  dd if=/dev/zero of="$folder/.room" bs=1048576 count=16 conv=fsync 2>/dev/null
  tried=$?
  rm -f "$folder/.room"
  return $tried
}

until cd "$folder/jetstream" 2>/dev/null; do # stays there, so that no other folder can be taken for it
  kill -0 "$broker" 2>/dev/null || exit 0
  sleep 1
done

unwell=0 most=60 why=
while [ -z "$why" ]; do
  kill -0 "$broker" 2>/dev/null || exit 0
  if says=$(wget -T 5 -O /dev/null "$url" 2>&1); then
    unwell=0 most=3
  else
    case $says in
      *" 503"*) unwell=$((unwell + 1)) ;;
      *) unwell=0 ;;
    esac
  fi
  if ! [ . -ef "$folder/jetstream" ]; then
    why="its folder was deleted while it ran: it acknowledges what it keeps nowhere"
  elif [ "$unwell" -ge "$most" ] && has_room; then
    why="it takes nothing more, although there is room"
  else
    sleep 1
  fi
done
echo "nats: ended to be started again: $why" >&2
kill -TERM "$broker"
