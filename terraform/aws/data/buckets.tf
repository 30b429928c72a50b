locals {
  # Bucket names are shared with the whole world: the account makes them ours.
  buckets = { for kind in ["models", "data"] : kind => "${var.name}-${kind}-${local.account}" }
  all     = merge(local.buckets, { logs = "${var.name}-logs-${local.account}" })
}

resource "aws_s3_bucket" "this" {
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

  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = coalesce(var.noncurrent_days, local.prod ? 365 : 30)
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.value.tiering_after == null ? [] : [each.value.tiering_after]

    content {
      id     = "tiering"
      status = "Enabled"
      filter {}

      transition {
        days          = rule.value
        storage_class = "INTELLIGENT_TIERING"
      }
    }
  }

  dynamic "rule" {
    for_each = each.value.expires_after == null ? [] : [each.value.expires_after]

    content {
      id     = "expiry"
      status = "Enabled"
      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
