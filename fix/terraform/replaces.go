package terraform

import "strings"

// replacing lists, by type, the attributes that a provider can change only by making the
// resource anew, so that what it holds goes with it.
var replacing = map[string][]string{
	"aws_db_instance":                   {"storage_encrypted", "kms_key_id"},
	"aws_rds_cluster":                   {"storage_encrypted", "kms_key_id"},
	"aws_docdb_cluster":                 {"storage_encrypted", "kms_key_id"},
	"aws_neptune_cluster":               {"storage_encrypted", "kms_key_arn"},
	"aws_ebs_volume":                    {"encrypted", "kms_key_id"},
	"aws_efs_file_system":               {"encrypted", "kms_key_id"},
	"aws_instance":                      {"root_block_device.encrypted", "ebs_block_device.encrypted", "root_block_device.kms_key_id", "ebs_block_device.kms_key_id", "associate_public_ip_address"},
	"aws_elasticache_replication_group": {"at_rest_encryption_enabled", "kms_key_id"},
	"aws_ecr_repository":                {"encryption_configuration"},
	"aws_mq_broker":                     {"publicly_accessible", "encryption_options"},
	"aws_dms_replication_instance":      {"publicly_accessible", "kms_key_arn"},
	"aws_dax_cluster":                   {"server_side_encryption"},
	"aws_sagemaker_notebook_instance":   {"direct_internet_access", "kms_key_id"},
	"aws_workspaces_workspace":          {"root_volume_encryption_enabled", "user_volume_encryption_enabled", "volume_encryption_key"},
	"azurerm_kubernetes_cluster":        {"private_cluster_enabled", "disk_encryption_set_id"},
	"azurerm_storage_account":           {"infrastructure_encryption_enabled"},
	"google_compute_disk":               {"disk_encryption_key"},
	"google_container_cluster":          {"private_cluster_config.enable_private_nodes"},
	"google_sql_database_instance":      {"encryption_key_name"},
}

// replaces says whether a change of a field makes the resource anew.
func replaces(kind, field string) bool {
	var names []string
	for _, part := range strings.Split(field, ".") {
		name, _, _ := strings.Cut(part, "[")
		names = append(names, name)
	}
	plain := strings.Join(names, ".")
	for _, known := range replacing[kind] {
		if plain == known || strings.HasPrefix(plain, known+".") {
			return true
		}
	}
	return false
}
