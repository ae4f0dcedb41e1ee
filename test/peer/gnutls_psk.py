"""Speaks through libgnutls what comes on standard input, and writes what is answered: gnutls_psk.py PORT SNI IDENTITY HEX PRIORITY.

gnutls-cli 3.7.9 ends with a segmentation fault after every DHE_PSK and ECDHE_PSK handshake, with any server.
"""

import ctypes
import socket
import sys

port, sni, identity, key, priority = sys.argv[1:]
gnutls = ctypes.CDLL("libgnutls.so.30")
NAME_DNS, CRD_PSK, KEY_HEX, CLIENT = 1, 4, 1, 1 << 1
AGAIN, INTERRUPTED = -28, -52


class Datum(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_uint)]


def check(code):
    if code < 0:
        gnutls.gnutls_strerror.restype = ctypes.c_char_p
        alert = gnutls.gnutls_alert_get(session) if code == -12 else ""
        sys.exit(f"{gnutls.gnutls_strerror(code).decode()} {alert}")
    return code


session = ctypes.c_void_p()
check(gnutls.gnutls_init(ctypes.byref(session), CLIENT))
credentials = ctypes.c_void_p()
check(gnutls.gnutls_psk_allocate_client_credentials(ctypes.byref(credentials)))
datum = Datum(key.encode(), len(key))
check(gnutls.gnutls_psk_set_client_credentials(credentials, identity.encode(), ctypes.byref(datum), KEY_HEX))
check(gnutls.gnutls_credentials_set(session, CRD_PSK, credentials))
check(gnutls.gnutls_priority_set_direct(session, priority.encode(), None))
check(gnutls.gnutls_server_name_set(session, NAME_DNS, sni.encode(), ctypes.c_size_t(len(sni))))
connection = socket.create_connection(("127.0.0.1", int(port)))
gnutls.gnutls_transport_set_int2(session, connection.fileno(), connection.fileno())
while (code := gnutls.gnutls_handshake(session)) in (AGAIN, INTERRUPTED):
    pass
check(code)

send, receive = gnutls.gnutls_record_send, gnutls.gnutls_record_recv
for call in (send, receive):
    call.restype = ctypes.c_ssize_t
    call.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
requests = sys.stdin.buffer.read1()
check(send(session, requests, len(requests)))
buffer = ctypes.create_string_buffer(16384)
while (got := receive(session, buffer, len(buffer))) > 0 or got in (AGAIN, INTERRUPTED):
    sys.stdout.buffer.write(buffer.raw[: max(got, 0)])
check(got)
