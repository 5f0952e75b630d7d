/**
 * Path patterns as in .gitignore: `*` matches anything but a slash, `**` anything, `?` one character, `[ab]` one of
 * these characters, `[!ab]` any other character, `{a,b}` either alternative. A pattern without a slash matches the file
 * name in any folder. A pattern with a slash matches the whole path; a leading slash is ignored.
 */

const LONGEST = 1024

/** The problem with a pattern, as the rest of a sentence about it; undefined when it is valid. */
export function globProblem(pattern: string): string | undefined {
  if (pattern === '') return 'is empty'
  if (pattern.length > LONGEST) return `is longer than ${LONGEST} characters`
  return translate(pattern) === undefined ? 'has a bracket or brace that does not close' : undefined
}

/** Returns a function that matches relative paths with slashes. Throws on an invalid pattern. */
export function globMatcher(pattern: string): (path: string) => boolean {
  const source = translate(pattern)
  if (source === undefined) throw new Error(`the pattern "${pattern}" ${globProblem(pattern) ?? 'is wrong'}`)
  const regex = new RegExp(`^${source}$`, 's')
  if (pattern.includes('/')) return (path) => regex.test(path)
  return (path) => regex.test(path.slice(path.lastIndexOf('/') + 1))
}

function translate(pattern: string): string | undefined {
  let source = ''
  let braces = 0
  for (let i = pattern.startsWith('/') ? 1 : 0; i < pattern.length; i++) {
    const char = pattern[i] as string
    if (pattern.startsWith('**', i)) {
      while (pattern[i + 1] === '*') i++
      // Between slashes, `**` matches any number of folders, including zero.
      const folders = pattern[i + 1] === '/' && (source === '' || source.endsWith('/'))
      source += folders ? '(?:.*/)?' : '.*'
      if (folders) i++
    } else if (char === '*') source += '[^/]*'
    else if (char === '?') source += '[^/]'
    else if (char === '[') {
      const end = pattern.indexOf(']', i + 2)
      if (end < 0) return undefined
      const isNot = pattern[i + 1] === '!'
      const members = pattern.slice(i + (isNot ? 2 : 1), end).replace(/[\\\]^[]/g, '\\$&')
      source += `(?!/)[${isNot ? '^' : ''}${members}]`
      i = end
    } else if (char === '{') {
      braces++
      source += '(?:'
    } else if (char === '}' && braces > 0) {
      braces--
      source += ')'
    } else if (char === ',' && braces > 0) source += '|'
    else source += char.replace(/[\\^$.|?*+()[\]{}]/, '\\$&')
  }
  return braces === 0 && isRegular(source) ? source : undefined
}

/** False for an invalid range such as [z-a]. */
function isRegular(source: string): boolean {
  try {
    new RegExp(source)
    return true
  } catch {
    return false
  }
}
