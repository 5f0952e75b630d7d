/**
 * Patterns for paths, as .gitignore has them: `*` is anything but a slash, `**` anything, `?` one character, `[ab]` and `[!ab]` one of or none of
 * these, `{a,b}` either. A pattern without a slash is for the name in whatever folder; one with a slash for the whole path, which
 * a leading slash stands before.
 */

const LONGEST = 1024

/** What is wrong with a pattern, for a person; undefined if nothing is. */
export function globProblem(pattern: string): string | undefined {
  if (pattern === '') return 'is empty'
  if (pattern.length > LONGEST) return `is longer than ${LONGEST} characters`
  return translate(pattern) === undefined ? 'has a bracket or brace that does not close' : undefined
}

/** Whether a path, relative and with slashes, matches. Throws on a pattern that has a problem. */
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
      // Between slashes it is any number of folders, none among them.
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

/** A range such as [z-a] is none. */
function isRegular(source: string): boolean {
  try {
    new RegExp(source)
    return true
  } catch {
    return false
  }
}
