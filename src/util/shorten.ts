/** A text of foreign origin as messages may repeat it: on one line, and at most `max` characters of it. */
export function shorten(text: string, max = 200): string {
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  const shown = text.slice(0, max).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ')
  return text.length <= max ? shown : `${shown}… (${text.length} characters)`
}
