import type { ObjectStorage } from './object-storage.js'

/**
 * Several stores as one: each call goes to the one that has the bucket.
 * @param others by the bucket's name in S3
 */
export function joinObjectStorages (main: ObjectStorage, others: ReadonlyMap<string, ObjectStorage>): ObjectStorage {
  const at = ({ bucket }: { readonly bucket: string }): ObjectStorage => others.get(bucket) ?? main
  return {
    presignPut: async put => await at(put).presignPut(put),
    presignPost: async post => await at(post).presignPost(post),
    presignParts: async parts => await at(parts).presignParts(parts),
    presignGet: async get => await at(get).presignGet(get),
    presignDelete: async location => await at(location).presignDelete(location),
    headObject: async location => await at(location).headObject(location),
    readFirstBytes: async (location, ...rest) => await at(location).readFirstBytes(location, ...rest),
    copyObject: async (from, ...rest) => await at(from).copyObject(from, ...rest),
    deleteObject: async location => await at(location).deleteObject(location),
    createMultipartUpload: async (location, object) => await at(location).createMultipartUpload(location, object),
    listParts: async (location, id) => await at(location).listParts(location, id),
    completeMultipartUpload: async (location, ...rest) => await at(location).completeMultipartUpload(location, ...rest),
    abortMultipartUpload: async (location, id) => await at(location).abortMultipartUpload(location, id),
    listObjects: (bucket, prefix) => at({ bucket }).listObjects(bucket, prefix),
    listMultipartUploads: (bucket, prefix) => at({ bucket }).listMultipartUploads(bucket, prefix),
    isReachable: async bucket => await at({ bucket }).isReachable(bucket),
    close () {
      for (const storage of [main, ...others.values()]) storage.close()
    }
  }
}
