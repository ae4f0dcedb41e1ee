-- Drives wrk: each request has a fresh Digest with the next nc, made with libcrypto; the UEs take turns.
-- Between two instants of the run it reads the CPU time of the server's processes, so that handshakes and the first
-- requests do not count. Settings come from the Lua table in the file that BENCH_JOB names; the result is one line of
-- JSON at the end.
local ffi = require('ffi')
ffi.cdef [[
typedef struct { long s; long ns; } bench_time;
int clock_gettime(int clock, bench_time *time);
int clock_getcpuclockid(int pid, int *clock);
int open(const char *path, int flags);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
unsigned char *MD5(const unsigned char *data, size_t length, unsigned char *md);
]]
local crypto = ffi.load('libcrypto.so.3')
local job = dofile(os.getenv('BENCH_JOB'))
local time = ffi.new('bench_time')

local function clock(id)
  if ffi.C.clock_gettime(id, time) ~= 0 then return nil end
  return tonumber(time.s) + tonumber(time.ns) / 1e9
end

local MONOTONIC = 1

-- The name in the URL is what SNI asks for; it is on loopback.
function wrk.resolve(_, service)
  wrk.addrs = wrk.lookup('127.0.0.1', service)
end

local threads = {}
function setup(thread)
  threads[#threads + 1] = thread
end

if job.delayMs > 0 then
  function delay()
    return math.random(0, 2 * job.delayMs)
  end
end

local digits = {}
for octet = 0, 255 do digits[octet] = string.format('%02x', octet) end
local md = ffi.new('unsigned char[16]')
local hex = {}
local function md5(text)
  crypto.MD5(text, #text, md)
  for i = 0, 15 do hex[i + 1] = digits[md[i]] end
  return table.concat(hex, '', 1, 16)
end

local clocks = {}
local function cpuS()
  local sum = 0
  for _, id in ipairs(clocks) do
    sum = sum + (clock(id) or error('a process of the server has ended'))
  end
  return sum
end

local ues, keys = job.ues, job.keys
local sent, phase = 0, 0

-- UEs of a file, more than fit into tables, take turns in an order that jumps about in it.
local STEP, RAND, HA1, NONCE = 7919, 24, 32, 40
local holders, counts, turn
local function openHolders()
  local width = RAND + HA1 + NONCE
  holders = ffi.cast('const char *', ffi.C.mmap(nil, keys.count * width, 1, 2, ffi.C.open(keys.file, 0), 0))
  counts, turn = ffi.new('uint32_t[?]', keys.count, keys.used), keys.turn
end
local function requestOfHolder()
  local n = (turn * STEP) % keys.count
  turn = turn + 1
  local at = holders + n * (RAND + HA1 + NONCE)
  local ha1, nonce = ffi.string(at + RAND, HA1), ffi.string(at + RAND + HA1, NONCE)
  counts[n] = counts[n] + 1
  local nc = string.format('%08x', counts[n])
  local impu = string.format('sip:holder%08d@%s', n, keys.domain)
  local uri = '/resource-lists/users/' .. impu .. '/small'
  local ha2 = md5('GET:' .. uri)
  return 'GET ' .. uri .. ' HTTP/1.1\r\nHost: ' .. keys.naf .. '\r\nUser-Agent: bench 3gpp-gba\r\n' ..
    'Accept: application/resource-lists+xml\r\nX-3GPP-Intended-Identity: "' .. impu .. '"\r\n' ..
    'Authorization: Digest username="' .. ffi.string(at, RAND) .. '@' .. keys.bsf .. '", realm="' .. keys.realm ..
    '", nonce="' .. nonce .. '", uri="' .. uri .. '", algorithm=MD5, qop=auth, cnonce="9f8a7c6b5d4e3f21", nc=' .. nc ..
    ', response="' .. md5(ha1 .. ':' .. nonce .. ':' .. nc .. ':9f8a7c6b5d4e3f21:auth:' .. ha2) .. '"\r\n\r\n'
end
local from, to

function init()
  math.randomseed(1)
  if keys then openHolders() end
  for i, pid in ipairs(job.pids) do
    local id = ffi.new('int[1]')
    if ffi.C.clock_getcpuclockid(pid, id) ~= 0 then error('no process ' .. pid) end
    clocks[i] = id[0]
  end
  from = clock(MONOTONIC) + job.warmUpS
  to = from + job.seconds
end

local function mark(n, now)
  _G['requests' .. n], _G['cpuS' .. n], _G['atS' .. n] = sent, cpuS(), now
end

function request()
  if phase < 2 then
    local now = clock(MONOTONIC)
    if phase == 0 and now >= from then
      phase = 1
      mark(0, now)
    elseif phase == 1 and now >= to then
      phase = 2
      mark(1, now)
    end
  end
  sent = sent + 1
  if keys then return requestOfHolder() end
  local ue = ues[(sent - 1) % #ues + 1]
  if not ue.ha1 then return ue.head .. ue.tail end
  ue.nc = ue.nc + 1
  local nc = string.format('%08x', ue.nc)
  local response = md5(ue.ha1 .. ue.middle1 .. nc .. ue.middle2)
  return ue.head .. nc .. ', response="' .. response .. ue.tail
end

function done(summary, latency)
  local thread, errors = threads[1], summary.errors
  local function has(name) return tostring(thread:get(name) or -1) end
  io.write(string.format(
    '\n{"requests0":%s,"requests1":%s,"cpuS0":%s,"cpuS1":%s,"atS0":%s,"atS1":%s,"requests":%d,"bytes":%d,' ..
    '"errors":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"refusals":%d,"p50Us":%d,"p99Us":%d}\n',
    has('requests0'), has('requests1'), has('cpuS0'), has('cpuS1'), has('atS0'), has('atS1'),
    summary.requests, summary.bytes, errors.connect + errors.read + errors.write + errors.timeout,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
