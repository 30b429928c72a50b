locals {
  # Bucket names are shared with the whole world: the account makes them ours.
  buckets = { for kind in ["models", "data"] : kind => "${var.name}-${kind}-${local.account}" }
  all     = merge(local.buckets, { logs = "${var.name}-logs-${local.account}" })
}

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_144: copies go to the other clouds (mcml data cp), not to another region of this one
  # checkov:skip=CKV2_AWS_62: a bucket has one list of notifications, which belongs to who listens; nothing here does
  for_each = local.all

  bucket        = each.value
  force_destroy = var.force_destroy
  tags          = merge(local.tags, { Name = each.value })
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.all

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.all

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.all

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

# S3 writes its access logs only to a bucket that is encrypted with keys of its own.
resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.all

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = each.key != "logs"

    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "logs" ? "AES256" : "aws:kms"
      kms_master_key_id = each.key == "logs" ? null : aws_kms_key.data.arn
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.all

  bucket = aws_s3_bucket.this[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "EncryptedOnly"
          Effect    = "Deny"
          Principal = { AWS = "*" }
          Action    = "s3:*"
          Resource  = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
        {
          Sid       = "TodaysEncryptionOnly"
          Effect    = "Deny"
          Principal = { AWS = "*" }
          Action    = "s3:*"
          Resource  = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]
          Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
        },
      ],
      [
        for one in [each.key] : {
          Sid       = "AccessLogs"
          Effect    = "Allow"
          Principal = { Service = "logging.s3.amazonaws.com" }
          Action    = "s3:PutObject"
          Resource  = "${aws_s3_bucket.this[one].arn}/*"
          Condition = {
            ArnLike      = { "aws:SourceArn" = [for kind in keys(local.buckets) : aws_s3_bucket.this[kind].arn] }
            StringEquals = { "aws:SourceAccount" = local.account }
          }
        } if one == "logs"
      ],
    )
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_logging" "this" {
  for_each = local.buckets

  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "${each.key}/"

  depends_on = [aws_s3_bucket_policy.this]
}

locals {
  # Models stay where a rollback finds them at once. Data moves to where it costs half when nobody has read it for a month.
  lifecycle = {
    models = { tiering_after = null, expires_after = null }
    data   = { tiering_after = 30, expires_after = null }
    logs   = { tiering_after = null, expires_after = local.retention_days }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.lifecycle

  bucket = aws_s3_bucket.this[each.key].id

  # One rule with all that happens to a bucket's objects: the scan sees no static rule beside dynamic ones.
  rule {
    id     = each.key
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = coalesce(var.noncurrent_days, local.prod ? 365 : 30)
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    dynamic "transition" {
      for_each = each.value.tiering_after[*]

      content {
        days          = transition.value
        storage_class = "INTELLIGENT_TIERING"
      }
    }

    dynamic "expiration" {
      for_each = each.value.expires_after[*]

      content {
        days = expiration.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
