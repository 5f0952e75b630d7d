/** Durations and sizes as people write them: `10m`, `1h30m`, `64MB`. */

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Decimal units as on a disk's label, binary ones with an i. */
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** Milliseconds, rounded; undefined when `text` is no duration. Only `0` may stand without a unit. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim()
  if (trimmed === '0') return 0
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(trimmed)) return undefined
  let sumMs = 0
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    sumMs += Number(amount) * (DURATION_UNITS[unit ?? ''] ?? NaN)
  }
  const ms = Math.round(sumMs)
  return Number.isSafeInteger(ms) ? ms : undefined
}

/** For people: `12 ms`, `1.198 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`. */
export function describeDuration(ms: number): string {
  const whole = Math.round(ms)
  if (whole < 1_000) return `${whole} ms`
  if (whole < 60_000) return `${whole / 1_000} s`
  const [large, size, small, part] =
    whole < 3_600_000
      ? (['min', 60_000, 's', 1_000] as const)
      : whole < 86_400_000
        ? (['h', 3_600_000, 'min', 60_000] as const)
        : (['d', 86_400_000, 'h', 3_600_000] as const)
  const rest = Math.floor((whole % size) / part)
  return `${Math.floor(whole / size)} ${large}` + (rest > 0 ? ` ${rest} ${small}` : '')
}

/** The shortest exact form that `parseDuration` reads back: `90s` as `1m30s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  let rest = Math.round(ms)
  let text = ''
  for (const unit of ['h', 'm', 's', 'ms'] as const) {
    const size = DURATION_UNITS[unit] ?? 1
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${unit}`
    rest -= count * size
  }
  return text
}

/** Bytes; undefined when `text` is no size. A bare number counts bytes; units are not case-sensitive. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text.trim())
  if (match === null) return undefined
  const unit = SIZE_UNITS[(match[2] ?? '').toUpperCase() || 'B']
  if (unit === undefined) return undefined
  const bytes = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest exact form that `parseSize` reads back. */
export function formatSizeExact(bytes: number): string {
  for (const unit of ['TiB', 'TB', 'GiB', 'GB', 'MiB', 'MB', 'KiB', 'KB'] as const) {
    const size = SIZE_UNITS[unit.toUpperCase()] ?? 1
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return `${bytes}B`
}

/** For people, in about three digits: `1.23 MB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['TB', 'GB', 'MB', 'KB'] as const) {
    const amount = bytes / (SIZE_UNITS[unit] ?? 1)
    if (amount >= 1) return `${amount.toFixed(amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2)} ${unit}`
  }
  return `${bytes} B`
}
