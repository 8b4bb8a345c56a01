# Sends numbered records to a stream input that acknowledges: spool_sender.py SOCKET FILE SECONDS [PADDING]. When the
# connection ends it goes on after the last record that was acknowledged. At the end FILE has how many those are.
import socket
import sys
import time

path, result, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
padding = b' ' * int(sys.argv[4]) if len(sys.argv) > 4 else b''
acked = 0
until = time.monotonic() + seconds
limit = until + 30


def dial():
    while time.monotonic() < limit:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            time.sleep(0.01)
    sys.exit('cannot connect')


done = False
while not done:
    s = dial()
    base, sent, text = acked, acked, b''
    ended = False
    s.settimeout(0.05)
    while True:
        try:
            if not ended and time.monotonic() < until and sent - acked < 2000:
                s.sendall(b''.join(b'record %d%s\n' % (n, padding) for n in range(sent + 1, sent + 201)))
                sent += 200
            elif not ended and time.monotonic() >= until:
                s.shutdown(socket.SHUT_WR)
                ended = True
        except TimeoutError:
            break  # part of a block was sent: on another connection from what was acknowledged
        except OSError:
            break
        try:
            s.settimeout(0.001 if not ended else 1)
            more = s.recv(4096)
            if not more:
                done = ended and acked == sent
                break
            text += more
            lines = text.split(b'\n')
            text = lines.pop()
            if lines:
                acked = base + int(lines[-1])
        except TimeoutError:
            if time.monotonic() > limit:
                sys.exit('no acknowledgement in time')
        except OSError:
            break
        s.settimeout(2)
        if ended and acked == sent:
            done = True
            break
    s.close()
with open(result, 'w') as f:
    f.write('%d\n' % acked)
