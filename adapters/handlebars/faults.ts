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

  wrongEnd: (name: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `{{/${name}}} is where {{/cache}} has to be; close {{#cache …}} by {{/cache}}`,
      position,
    ),

  commas: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'Handlebars has no commas between arguments; separate them by white space, and put parentheses around a helper with arguments of its own',
      position,
    ),

  knownHelpersOnly: (helper: 'cache' | 'nocache', position: TagPosition): CacheTagError =>
    new CacheTagError(
      `the template is compiled with knownHelpersOnly, but used the unknown helper ${helper}; compile it with knownHelpers: { ${helper}: true }`,
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

/** Faults of nocache blocks. */
export const handlebarsHoleFaults = {
  inline: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'nocache is a block helper; write {{#nocache}} ... {{/nocache}}, or {{this.nocache}} for a variable of this name',
      position,
    ),

  otherwise: (position: TagPosition): CacheTagError =>
    new CacheTagError('a nocache block has a body and no {{else}}', position),

  blockParams: (position: TagPosition): CacheTagError =>
    new CacheTagError('a nocache block has no block parameters; take "as |...|" out', position),

  unknown: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'the template of the nocache block was precompiled without the tag; call registerCache on the Handlebars instance that precompiles it',
      position,
    ),
}
