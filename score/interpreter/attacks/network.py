"""Attacks that try to reach the network, or another program over a socket."""

from score.interpreter.attacks.attack import outward

NETWORK = [
    outward(
        "network: TCP",
        """
import socket
socket.create_connection(('127.0.0.1', <port>), 2)
print(<escaped>)
""",
    ),
    outward(
        "network: UDP with an answer",
        """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(0.5)
    s.sendto(b'hello', ('127.0.0.1', <port>))
    if s.recv(100): print(<escaped>)
""",
    ),
    outward(
        "network: DNS, a query of our own",
        """
import socket
query = b'\\x12\\x34\\x01\\x00\\x00\\x01' + bytes(6) + b'\\x07example\\x03com\\x00\\x00\\x01\\x00\\x01'
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(0.5)
    s.connect(('127.0.0.1', <port>))
    s.send(query)
    if s.recv(512)[:2] == b'\\x12\\x34': print(<escaped>)
""",
    ),
    outward(
        "network: DNS, by the C library",
        """
import socket
print(<escaped> if socket.getaddrinfo('example.com', 80) else '')
""",
    ),
    outward(
        "network: urllib",
        """
import urllib.request
print(<escaped> if urllib.request.urlopen('http://127.0.0.1:<port>/', timeout=2).status == 200 else '')
""",
    ),
    outward(
        "network: http.client",
        """
import http.client
connection = http.client.HTTPConnection('127.0.0.1', <port>, timeout=2)
connection.request('GET', '/')
print(<escaped> if connection.getresponse().status == 200 else '')
""",
    ),
    outward(
        "network: curl or wget in a subprocess",
        """
import subprocess
for command in (['curl', '-sfm', '2'], ['wget', '-qO-', '-T', '2', '-t', '1']):
    try:
        done = subprocess.run([*command, 'http://127.0.0.1:<port>/'], capture_output=True)
    except FileNotFoundError:
        continue
    if done.returncode == 0: print(<escaped>)
""",
    ),
    outward(
        "network: Python in a subprocess",
        """
import subprocess, sys
code = "import socket; socket.create_connection(('127.0.0.1', <port>), 2); print(<escaped>)"
print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)
""",
    ),
    outward(
        "network: bash's own /dev/tcp",
        """
import subprocess
if subprocess.run(['bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/<port>']).returncode == 0: print(<escaped>)
""",
    ),
    outward(
        "network: IPv6, mapped",
        """
import socket
socket.create_connection(('::ffff:127.0.0.1', <port>), 2)
print(<escaped>)
""",
    ),
    outward(
        "network: an interface beside the loopback",
        """
import socket
names = [name for _, name in socket.if_nameindex() if name != 'lo']
up = [name for name in names if int(open(f'/sys/class/net/{name}/flags').read(), 16) & 1]
if up: print(<escaped>)
""",
    ),
    outward(
        "network: raw packets",
        """
import socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)
print(<escaped>)
""",
    ),
    outward(
        "network: raw IP",
        """
import socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print(<escaped>)
""",
    ),
    outward(
        "network: the virtual machine's host (vsock)",
        """
import socket
socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
print(<escaped>)
""",
        needs_seccomp=True,
    ),
    outward(
        "network: the kernel's ciphers (AF_ALG)",
        """
import socket
socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
print(<escaped>)
""",
        needs_seccomp=True,
    ),
    outward(
        "socket: abstract Unix name",
        """
import socket
socket.socket(socket.AF_UNIX).connect('\\0<abstract>')
print(<escaped>)
""",
    ),
    outward(
        "socket: Unix path",
        """
import socket
socket.socket(socket.AF_UNIX).connect('<unix>')
print(<escaped>)
""",
    ),
]
