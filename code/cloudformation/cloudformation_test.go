package cloudformation_test

import (
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code/cloudformation"
)

const template = `AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Acl: {Type: String, Default: PublicRead}
  Name: {Type: String}
Resources:
  Logs:
    Type: AWS::S3::Bucket
    Properties:
      AccessControl: !Ref Acl
      BucketName: !Ref Name
      VersioningConfiguration: !If [Prod, {Status: Enabled}, !Ref AWS::NoValue]
      Tags: {"Fn::If": [a, b, c]}
      LifecycleConfiguration: null
`

func TestATemplateIsReadAndFunctionsAreNotKnown(t *testing.T) {
	list, problems := cloudformation.Resources("t.yaml", []byte(template))
	if len(list) != 1 || len(problems) > 0 || list[0].Address() != "AWS::S3::Bucket.Logs" || list[0].Line != 6 {
		t.Fatalf("%+v %v", list, problems)
	}
	for field, want := range map[string]cloudformation.State{
		"AccessControl": cloudformation.Known, "BucketName": cloudformation.Unknown, "VersioningConfiguration.Status": cloudformation.Unknown,
		"Tags": cloudformation.Unknown, "LifecycleConfiguration": cloudformation.Absent, "Nothing.At.All": cloudformation.Absent,
	} {
		if _, got := list[0].At(strings.Split(field, ".")...); got != want {
			t.Errorf("%s: state %d, expected %d", field, got, want)
		}
	}
}

func TestWhatIsNoTemplateHasNoResources(t *testing.T) {
	for _, text := range []string{"", "a: b", "Resources: AWS::", "Resources:\n  - AWS::S3::Bucket", "{", "Resources:\n  a:\n    Type: AWS::X\n  a:\n    Type: AWS::Y\n", "\x00AWS:: Resources", strings.Repeat("[", 80000) + "Resources AWS::"} {
		cloudformation.Resources("t.yaml", []byte(text)) // none may end in a panic
	}
	if list, _ := cloudformation.Resources("k.yaml", []byte("kind: Pod\nResources: {}\nx: AWS::\n")); len(list) > 0 {
		t.Error("a pod is no template")
	}
}
