import { CacheTagError, type TagPosition } from '../../src/errors.js'

/** Faults that only Handlebars' syntax allows. */
export const blockFaults = {
  inline: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'it is a block helper; write {{#cache 500 "sidebar"}} ... {{/cache}}, or {{this.cache}} for a variable of this name',
      position,
    ),

  otherwise: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'it has no {{else}}, since the same is shown whether it was cached or not; take the {{else}} out',
      position,
    ),

  blockParams: (position: TagPosition): CacheTagError =>
    new CacheTagError('it has no block parameters; take "as |...|" out', position),

  commas: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'Handlebars has no commas between arguments; separate them by white space, and put parentheses around a helper with arguments of its own',
      position,
    ),

  knownHelpersOnly: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'the template is compiled with knownHelpersOnly, but used the unknown helper cache; compile it with knownHelpers: { cache: true }',
      position,
    ),

  stringParams: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'the template is compiled with stringParams, by which all users would share the fragment; leave that option out',
      position,
    ),

  unregistered: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'its template was made before registerCache was called on the Handlebars instance; call registerCache before Handlebars.template, or use a cache that answers at once (local memory)',
      position,
    ),
}
