# The provider watches a lifecycle for a minute before it believes in it; the stub has the lifecycles.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = {}
}
