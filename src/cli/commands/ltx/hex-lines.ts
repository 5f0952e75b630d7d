const ROW_BYTES = 16

/** Sixteen bytes a line, with their text. As in hexdump(1), `*` stands for rows that repeat the one before. */
export function hexLines(bytes: Uint8Array): string[] {
  const lines: string[] = []
  let before = ''
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = bytes.subarray(at, at + ROW_BYTES)
    const digits = hexOf(row)
    if (digits !== before)
      lines.push(`${at.toString(16).padStart(5, '0')}  ${digits.padEnd(HEX_WIDTH)}  ${textOf(row)}`)
    else if (lines.at(-1) !== '*') lines.push('*')
    before = digits
  }
  return lines
}

/** The width of sixteen bytes in hexadecimal. */
export const HEX_WIDTH = 3 * ROW_BYTES - 1

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
}

/** The bytes as ASCII, with a dot for each that is not printable. */
export function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
}
