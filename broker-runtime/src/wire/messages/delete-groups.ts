import { message, int16, int32, string, array, type Decoded } from '../schema.ts';

/** Removes empty groups with their offsets (KIP-229). */
export const DeleteGroupsRequest = message({
  name: 'DeleteGroupsRequest',
  apiKey: 42,
  versions: '0-2',
  flexible: '2+',
  fields: {
    groupsNames: array('0+', 'string'),
  },
});
export type DeleteGroupsRequest = Decoded<typeof DeleteGroupsRequest>;

export const DeleteGroupsResponse = message({
  name: 'DeleteGroupsResponse',
  apiKey: 42,
  versions: '0-2',
  flexible: '2+',
  fields: {
    throttleTimeMs: int32('0+'),
    results: array('0+', {
      groupId: string('0+'),
      errorCode: int16('0+'),
    }),
  },
});
export type DeleteGroupsResponse = Decoded<typeof DeleteGroupsResponse>;
