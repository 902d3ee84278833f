-- What the filter is measured against: the same work as a Lua filter of Envoy would do it.
-- A canary of 10 % by x-user-id, the header x-api-version, a count by version and outcome.
-- The hash is xxHash64 of the key with seed 0, as the engine's (tests compare them).

local ffi = require("ffi")
local bit = require("bit")
local rol, bxor, shr = bit.rol, bit.bxor, bit.rshift

local P1, P2 = 0x9E3779B185EBCA87ULL, 0xC2B2AE3D27D4EB4FULL
local P3, P4 = 0x165667B19E3779F9ULL, 0x85EBCA77C2B2AE63ULL
local P5 = 0x27D4EB2F165667C5ULL
local words, halves = ffi.typeof("const uint64_t *"), ffi.typeof("const uint32_t *")
local bytes = ffi.typeof("const uint8_t *")

local function round(acc, input)
  return rol(acc + input * P2, 31) * P1
end

local function xxh64(key)
  local n = #key
  local at = ffi.cast(bytes, key)
  local left = n
  local h
  if n >= 32 then
    local v1, v2, v3, v4 = P1 + P2, P2, 0ULL, 0ULL - P1
    repeat
      local w = ffi.cast(words, at)
      v1, v2 = round(v1, w[0]), round(v2, w[1])
      v3, v4 = round(v3, w[2]), round(v4, w[3])
      at = at + 32
      left = left - 32
    until left < 32
    h = rol(v1, 1) + rol(v2, 7) + rol(v3, 12) + rol(v4, 18)
    h = bxor(h, round(0ULL, v1)) * P1 + P4
    h = bxor(h, round(0ULL, v2)) * P1 + P4
    h = bxor(h, round(0ULL, v3)) * P1 + P4
    h = bxor(h, round(0ULL, v4)) * P1 + P4
  else
    h = P5
  end
  h = h + n
  while left >= 8 do
    h = rol(bxor(h, round(0ULL, ffi.cast(words, at)[0])), 27) * P1 + P4
    at = at + 8
    left = left - 8
  end
  if left >= 4 then
    h = rol(bxor(h, ffi.cast(halves, at)[0] * P1), 23) * P2 + P3
    at = at + 4
    left = left - 4
  end
  for i = 0, left - 1 do
    h = rol(bxor(h, at[i] * P5), 11) * P1
  end
  h = bxor(h, shr(h, 33)) * P2
  h = bxor(h, shr(h, 29)) * P3
  return bxor(h, shr(h, 32))
end

local decisions = { v1 = 0, v2 = 0 }
local outcomes = {}

function envoy_on_request(handle)
  local headers = handle:headers()
  local key = headers:get("x-user-id")
  local version = "v1"
  if key ~= nil and key ~= "" and xxh64(key) % 10000ULL < 1000ULL then
    version = "v2"
  end
  decisions[version] = decisions[version] + 1
  headers:replace("x-api-version", version)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("crossfade", "version", version)
end

function envoy_on_response(handle)
  local metadata = handle:streamInfo():dynamicMetadata():get("crossfade")
  local status = handle:headers():get(":status")
  local class = metadata["version"] .. string.sub(status, 1, 1)
  outcomes[class] = (outcomes[class] or 0) + 1
end
